"""The web services of the pipeline, and the stubs of other people's systems."""

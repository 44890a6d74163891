"""The image as its user runs it; `make test-container` says with what."""

"""The Celery workers of the pipeline."""

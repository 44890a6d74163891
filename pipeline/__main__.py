"""Lets `python -m pipeline` do what `obs-validator pipeline` does."""

from pipeline.cli import pipeline

if __name__ == "__main__":
    pipeline(prog_name="python -m pipeline")

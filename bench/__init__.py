"""What `make bench` measures: `python -m bench`, described in docs/benchmarks.md."""

"""The built-in collector: an OTLP sink in memory, and the two ways to read it."""

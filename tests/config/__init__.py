"""The configuration and the suites."""

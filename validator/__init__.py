"""obs-validator proves that the telemetry of a job pipeline can be trusted."""

__version__ = "0.1.0"

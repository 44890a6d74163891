"""The instrumented reference pipeline: a small, real system for the validator to judge."""

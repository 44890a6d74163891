"""Tests of the checks: what each one passes, fails, and leaves undecided."""

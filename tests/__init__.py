"""Tests of obs-validator."""

"""Tests of what users' own tests use."""

"""Tests of the real backends on this machine."""

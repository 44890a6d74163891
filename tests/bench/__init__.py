"""Tests of the measuring instruments of `bench/`: that they are honest, not how fast things are."""

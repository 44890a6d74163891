"""`python -m validator` is `obs-validator`."""

from validator.cli import main

main()

"""`python -m stack`."""

from stack.cli import stack

if __name__ == "__main__":
    stack(prog_name="python -m stack")

"""What keeps a part of the stack from coming up, in one line for whom it concerns."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot be started, found or ended; the message says why."""


class MissingError(StackError):
    """A program cannot be had on this machine; the message says why, in one line."""

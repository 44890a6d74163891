"""The errors of obs-validator.

    ValidatorError
    ├── ConfigError             the user's configuration or command line: exit code 2
    ├── SourceError             a backend could not be asked, or answered nonsense
    └── SubmitError             the target refused the job or could not be reached

Errors of libraries are translated to these where they come in, with `raise ... from`. A message
says where, what, and what to do; it never holds a secret.
"""

from enum import StrEnum


class ValidatorError(Exception):
    """The root: what a user may see of it is its message, never a stack trace."""


class ConfigError(ValidatorError):
    """The configuration, a suite or the command line cannot be taken as it is."""


class SourceFailure(StrEnum):
    """In which way a source failed."""

    CONNECT = "cannot connect"
    REFUSED = "refused"
    THROTTLED = "throttled"
    TOO_SLOW = "too slow"
    SERVER_ERROR = "server error"
    NONSENSE = "nonsense"
    TOO_LARGE = "too large"
    PARTIAL = "partial"


class SourceError(ValidatorError):
    """A source could not be asked; `failure` says in which way."""

    def __init__(self, source: str, failure: SourceFailure, detail: str) -> None:
        """Say of `source` how it failed and what was seen (without secrets)."""
        super().__init__(f"{source}: {failure}: {detail}")
        self.source = source
        self.failure = failure
        self.detail = detail

    @property
    def retriable(self) -> bool:
        """Whether the same question may be answered later."""
        return self.failure is not SourceFailure.REFUSED


class SubmitError(ValidatorError):
    """The target did not take the job, or did not say what became of it."""

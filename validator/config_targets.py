"""Targets: how a system takes a job, says what became of it, and treats trace context."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SecretStr,
    StrictBool,
    StrictInt,
    Tag,
    field_validator,
    model_validator,
)

from validator.config_values import (
    Duration,
    HeaderName,
    JMESPath,
    Name,
    Rate,
    Strict,
    Text,
    Url,
    Word,
    check_jmespath,
)

HttpStatus = Annotated[StrictInt, Field(ge=100, le=599)]
Headers = Mapping[HeaderName, SecretStr]
Fields = Mapping[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], JMESPath]


class Request(Strict):
    """One HTTP request; its texts may hold templates."""

    url: Url
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: Headers = Field(default={})
    body: Any = None
    """Sent as JSON."""
    form: Mapping[str, str] | None = None
    text: str | None = None
    expect: tuple[HttpStatus, ...] = ()
    """The statuses that mean it went well; none: every 2xx."""
    timeout: Duration = 10.0
    """For the whole of a request, its answer and, where it may be repeated, the repetitions."""

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        """Refuse a request with two bodies."""
        given = [name for name in ("body", "form", "text") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"a request has one body; found {' and '.join(given)}")
        return self


class HeaderId(Strict):
    """A job id that the target answers in a header; `pattern`'s group is the id."""

    header: HeaderName
    pattern: str = "(.+)"

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, pattern: str) -> str:
        """Refuse what is no pattern with one group."""
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        if groups != 1:
            raise ValueError("needs one (group): the part of the header that is the job id")
        return pattern


def _path_or_template(text: str) -> str:
    """Check a JMESPath, unless it is a template: an id that is chosen before it is sent."""
    return text if "{{" in text else check_jmespath(text)


def _shape(value: Any) -> str:
    """Say which of its two shapes a job id is written in."""
    return "<header>" if isinstance(value, dict | HeaderId) else "<path>"


JobId = Annotated[
    Annotated[str, AfterValidator(_path_or_template), Tag("<path>")]
    | Annotated[HeaderId, Tag("<header>")],
    Discriminator(_shape),
]
"""Where the job's id is: a JMESPath into the JSON answer, a header, or a template."""


class Follow(Strict):
    """How to ask what became of a job."""

    url: Url
    headers: Headers | None = None
    """None: those of the submission."""
    status: JMESPath
    done: tuple[Word, ...] = Field(min_length=1)
    failed: tuple[Word, ...] = ()
    running: tuple[Word, ...] = ()
    """Words that are known and not final; every other one is remarked on."""
    every: Duration = 0.1
    """The embedded pipeline ends a job within seconds; a tenth of one adds little to it."""
    timeout: Duration = 10.0
    fields: Fields = Field(default={})

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        """Refuse a word that means two things."""
        words = [*self.done, *self.failed, *self.running]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"the status {', '.join(twice)} is listed twice")
        return self


class HttpSubmit(Request):
    """A job submitted with an HTTP request."""

    job_id: JobId
    fields: Fields = Field(default={})
    follow: Follow | None = None
    """None: the answer is the job's end."""
    then: tuple[Request, ...] = ()
    clean_up: Request | None = None
    sweep: Request | None = None
    """Removes what runs have left that nobody cleaned up; made before a command's first run."""


class LeaseSettings(Strict):
    """How several validators take turns on one target: one has its lease at a time.

    The requests may name `lease.holder` and `lease.ttl` (in seconds). `acquire` may be made again
    by who has the lease already; who has it not and may not is answered one of `taken`.
    """

    acquire: Request
    renew: Request | None = None
    """None: `acquire` once more."""
    release: Request
    taken: tuple[HttpStatus, ...] = Field(default=(409, 423), min_length=1)
    """409 is Conflict (RFC 9110), 423 Locked (RFC 4918)."""
    holder: JMESPath | None = None
    """Where an answer says who has it, for people."""
    ttl: Duration = 30.0
    """How long a dead validator holds others up; more than a job takes, or its job is still at
    work when the next validator begins."""
    wait: Duration = 300.0
    every: Duration = 1.0

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        """Refuse a status that would mean both that it went well and that it did not."""
        for request in (self.acquire, self.renew, self.release):
            expected = (request.expect or range(200, 300)) if request else ()
            twice = [str(status) for status in self.taken if status in expected]
            if twice:
                raise ValueError(f"`taken` and `expect` both have {', '.join(twice)}")
        return self


class Submit(Strict):
    """How jobs are submitted: one of the ways."""

    http: HttpSubmit


class TargetSettings(Strict):
    """One system under observation."""

    submit: Submit | None = None
    """None: only existing jobs are looked at."""
    trace_context: Literal["adopt", "link", "new", "none"] = "adopt"
    trace_id_header: HeaderName | Literal[""] = ""
    job_id_keys: tuple[Text, ...] = Field(default=("job.id",), min_length=1)
    sampling: Literal["all", "ratio"] = "all"
    baggage: StrictBool = True
    lease: LeaseSettings | None = None
    """None: nobody else sends synthetic jobs there."""
    rate_limit: Rate | None = None
    """How many jobs this process may submit there in a time."""


Targets = Annotated[Mapping[Name, TargetSettings], Field(min_length=1)]

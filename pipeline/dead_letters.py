"""Dead letters: messages that nobody can act on, kept beside their queue with what is wrong.

The letters of a queue are a Redis list. What else somebody put on such a list is shown as well:
nothing on it is taken for nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pipeline import payloads
from pipeline.celery_app import EMBED_TASK, NOWHERE, QUEUES, SCRAPE_TASK
from pipeline.states import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

LISTS: Final = {**{queue: f"dead:{queue}" for queue in QUEUES.values()}, NOWHERE: NOWHERE}
"""By their queue, the lists; that of tasks that were sent to no queue is the queue itself."""
_PUT_BACK: Final = """\
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
return 1"""
_BATCH: Final = 100
_STAGES: Final = {SCRAPE_TASK: Status.SCRAPING.value, EMBED_TASK: Status.EMBEDDING.value}
_FORMAT: Final = 1


class Reason(StrEnum):
    """Why a message is dead."""

    UNPARSABLE = "unparsable"
    UNKNOWN_MESSAGE = "unknown_message"
    CONTENT_TYPE = "content_type"
    UNKNOWN_TASK = "unknown_task"
    INVALID = "invalid"
    PAYLOAD = "payload"
    EXCEPTION = "exception"
    TIME_LIMIT = "time_limit"
    REFUSED = "refused"
    REDELIVERED = "redelivered"
    FOREIGN = "foreign"


class DeadLetterError(Exception):
    """What a task raises so that its message becomes a dead letter."""

    def __init__(self, reason: str, detail: str) -> None:
        """Tell why; both go through a pickle, from the worker's child to its parent."""
        super().__init__(reason, detail)
        self.reason = Reason(reason)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead message: what is wrong with it, since when, and the message as the broker had it."""

    queue: str
    reason: Reason
    detail: str
    at: str
    message: str
    task: str | None = None
    task_id: str | None = None
    job_id: str | None = None
    traffic: str | None = None

    @property
    def stage(self) -> str | None:
        """The stage that its task is of."""
        return _STAGES.get(self.task or "")

    def carrier(self) -> dict[str, str]:
        """Return the trace context that the message carries."""
        try:
            headers: Mapping[str, Any] = json.loads(self.message)["headers"]
            return {"traceparent": str(headers["traceparent"])}
        except (ValueError, TypeError, KeyError, AttributeError):
            return {}

    def to_item(self) -> bytes:
        """Return it as it stands on its list."""
        return json.dumps({**asdict(self), "dead": _FORMAT}).encode()


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter on its list; the id follows from the item, whoever put it there."""

    id: str
    item: bytes
    letter: Letter

    def to_json(self) -> dict[str, Any]:
        """Return it as `dlq list --json` shows it."""
        return {"id": self.id, **asdict(self.letter)}


def made(queue: str, reason: Reason, detail: str, message: bytes) -> Letter:
    """Make a letter of a message and what is wrong with it."""
    at = datetime.now(UTC).isoformat()  # noqa: TID251 - the broker's clock, not a check's
    found = _known(message)
    return Letter(queue, reason, detail[:2000], at, _text(message), **found)


def read(queue: str, item: bytes) -> Kept:
    """Read what stands on the list of a queue; what is no letter is made one."""
    name = hashlib.sha256(item).hexdigest()[:12]
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        fields = json.loads(item)
        if fields.pop("dead") == _FORMAT:
            return Kept(name, item, Letter(**{**fields, "reason": Reason(fields["reason"])}))
    said = "put here by nobody that we know"
    return Kept(name, item, Letter(queue, Reason.FOREIGN, said, "", _text(item), **_known(item)))


class Letters:
    """The letters of all queues."""

    def __init__(self, client: Redis) -> None:
        """Read the broker by a client that does not decode."""
        self._client = client
        self._put_back = client.register_script(_PUT_BACK)

    def depths(self) -> dict[str, int]:
        """Return how many there are of each queue."""
        return {queue: int(self._client.llen(key)) for queue, key in LISTS.items()}

    def all(self) -> Iterator[Kept]:
        """Yield them, of each queue the newest first."""
        for queue, key in LISTS.items():
            start = 0
            while items := self._client.lrange(key, start, start + _BATCH - 1):
                yield from (read(queue, item) for item in items if isinstance(item, bytes))
                start += _BATCH

    def put_back(self, kept: Kept, queue: str) -> bool:
        """Move the message to a queue, in one step; tell whether it was still there."""
        message = _bytes(kept.letter.message)
        keys = [LISTS[kept.letter.queue], queue]
        return bool(self._put_back(keys=keys, args=[kept.item, message]))

    def discard(self, kept: Kept) -> bool:
        """Remove a letter for good; tell whether it was still there."""
        return bool(self._client.lrem(LISTS[kept.letter.queue], 1, kept.item))  # type: ignore[arg-type]


def destination(kept: Kept, *, force: bool = False) -> str:
    """Return the queue to which a message goes back; ValueError where it would come here again."""
    letter = kept.letter
    try:
        task, fields = payload_of(letter.message)
        payloads.checked(task, fields)
    except ValueError:
        if not force or letter.queue == NOWHERE:
            raise
        return letter.queue
    return QUEUES[task]


def payload_of(message: str) -> tuple[str, dict[str, Any]]:
    """Return the task of a message and what it is told; ValueError where there is no such."""
    try:
        whole = json.loads(message)
        name = whole["headers"]["task"]
        args, kwargs, _ = json.loads(base64.b64decode(whole["body"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the message is no task's: {error!r}") from error
    if args or not isinstance(kwargs, dict) or not isinstance(name, str):
        raise ValueError("the message has no payload by names")
    return name, kwargs


def _known(message: bytes) -> dict[str, str | None]:
    """Return whatever the message says of its task and job, as far as it can be read."""
    found: dict[str, str | None] = {}
    try:
        headers: Mapping[str, Any] = json.loads(message)["headers"]
        found["task"] = _short(headers.get("task"))
        found["task_id"] = _short(headers.get("id"))
        found["traffic"] = _short(headers.get("mark_traffic"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return found
    try:
        _, kwargs = payload_of(_text(message))
    except ValueError:
        return found
    return {**found, "job_id": _short(kwargs.get("job_id"))}


def _short(value: object) -> str | None:
    return value[:200] if isinstance(value, str) else None


def _text(message: bytes) -> str:
    """Return bytes as text from which they can be had again, whatever they are."""
    return message.decode(errors="surrogateescape")


def _bytes(message: str) -> bytes:
    return message.encode(errors="surrogateescape")

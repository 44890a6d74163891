"""robots.txt of other people's sites, by RFC 9309, remembered for a while."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from protego import Protego

from pipeline import urls
from pipeline.fetch_errors import FetchError, PermanentError, TimedOutError, TransientError
from pipeline.lines import Deadline
from pipeline.visits import Answer, Visitor

SECONDS: Final = 5.0
"""The longest that a robots.txt may take, with its redirects."""
LARGEST: Final = 500 * 1024
"""What is read of it (RFC 9309 §2.5); the rest is not there for us."""
REDIRECTS: Final = 5
"""As many as RFC 9309 §2.3.1.2 asks for; after more there is no robots.txt."""
_UNREACHABLE: Final = "robots_unreachable"
_AGENT_LINE: Final = re.compile(r"\s*user(?:-|\s+)?agent\s*[:\s]([^#]*)", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is remembered, and for how long: RFC 9309 §2.4 has a day at most."""

    origins: int = 256
    size: int = 2 * LARGEST
    seconds: float = 3_600.0


@dataclass(frozen=True, slots=True)
class _Known:
    """What an origin's robots.txt says, how large it is, and until when it is believed."""

    rules: Protego
    size: int
    until: float


class Robots:
    """Knows where we may go. Threads may share it."""

    def __init__(
        self,
        visitor: Visitor,
        agent: str,
        bounds: Bounds | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Visit with the visitor, and look for rules for the agent."""
        self._visitor = visitor
        self._agent = agent
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._lock = Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def check(self, url: str, deadline: Deadline) -> None:
        """Raise a FetchError unless the origin's robots.txt lets us visit a normalised address."""
        origin = urls.origin(url)
        known = self._remembered(origin)
        if known is None:
            known = self._learnt(f"{origin}/robots.txt", deadline.sooner(SECONDS))
            self._remember(origin, known)
        if not known.rules.can_fetch(url, self._agent):
            raise PermanentError("robots_denied", f"{origin}/robots.txt denies {url}")

    def _remembered(self, origin: str) -> _Known | None:
        with self._lock:
            known = self._known.get(origin)
            if known is None or known.until < self._clock():
                return None
            self._known.move_to_end(origin)
            return known

    def _remember(self, origin: str, known: _Known) -> None:
        with self._lock:
            self._known[origin] = known
            self._known.move_to_end(origin)
            while self._too_much():
                self._known.popitem(last=False)

    def _too_much(self) -> bool:
        size = sum(one.size for one in self._known.values())
        return len(self._known) > self._bounds.origins or size > self._bounds.size

    def _learnt(self, url: str, deadline: Deadline) -> _Known:
        text = for_agent(self._read(url, deadline), self._agent)
        return _Known(Protego.parse(text), len(text), self._clock() + self._bounds.seconds)

    def _read(self, url: str, deadline: Deadline) -> str:
        """Return a robots.txt; nothing when there is none, or too many redirects to it."""
        at = url
        for _ in range(REDIRECTS + 1):
            try:
                with self._visitor.visit(at, deadline) as answer:
                    if answer.redirect is None:
                        return _text(answer)
                    at = urls.joined(at, answer.redirect)
            except ValueError as error:
                raise TransientError(_UNREACHABLE, f"{url} redirects, but {error}") from error
            except FetchError as error:
                if at == url and not error.asked:
                    raise  # no page of this origin can be had either
                kind = TimedOutError if isinstance(error, TimedOutError) else TransientError
                raise kind(_UNREACHABLE, f"{url} cannot be had: {error}") from error
        return ""


def _text(answer: Answer) -> str:
    """Return what a robots.txt says: nothing where there is none (RFC 9309 §2.3.1.3)."""
    if 400 <= answer.status < 500:
        return ""
    if not 200 <= answer.status < 300:
        raise TransientError(_UNREACHABLE, f"{answer.url} answered {answer.status}")
    data = answer.beginning(LARGEST)
    if len(data) == LARGEST:
        data = data[: data.rfind(b"\n") + 1]  # half a line would be another rule
    return data.decode("utf-8-sig", "replace")


def for_agent(text: str, agent: str) -> str:
    """Return a robots.txt in which the rules for an agent are those for everybody.

    So it names two agents at most. Protego gives each agent of a group each of its rules: half of
    500 KiB of agents before half of rules would take gigabytes.
    """
    lines = text.splitlines()
    named = [_agent_of(line) for line in lines]
    starts = [match.start() for match in _TOKEN.finditer(agent.lower())]
    mine = [name for name in set(named) if name and _names(name, agent.lower(), starts)]
    chosen = max(mine, key=len, default="*")
    return "\n".join(
        line if not name else f"User-agent: {'*' if name == chosen else 'somebody-else'}"
        for line, name in zip(lines, named, strict=True)
    )


def _agent_of(line: str) -> str:
    """Return the agent that a line names: a name, `*`, or nothing when it is another line."""
    found = _AGENT_LINE.match(line)
    value = found[1].strip().lower() if found else ""
    return value.replace("*", "") or value[:1]


def _names(name: str, agent: str, starts: list[int]) -> bool:
    """Tell whether a name is the beginning of one of the agent's tokens."""
    return any(agent.startswith(name, at) for at in starts)

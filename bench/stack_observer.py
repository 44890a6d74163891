"""Notes when each span and line of each job could first be read in real backends.

`python -m bench.stack_observer TARGET KIND=URL...` (`jaeger`, `tempo`, `loki`, `prometheus`) asks
them every few milliseconds, over their documented APIs, until its standard input ends; then it
prints what it saw as JSON. It knows nothing of the loop or of our clients.

What is not sent cannot be read: the target says when the sending of each piece began, and when the
job ended, on the clock that the machine's processes share. So only what is on its way has to be
looked for, and the observer leaves the two cores to those whom it observes.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from bench.lag_observer import read_back, written
from bench.lag_truth import Sighting, Witnessed

_PAUSE = 0.03
"""Seconds between two looks: a piece that was sent after the last one is taken to have been
readable when it was sent, so a longer pause makes the measured lag no smaller."""

_SCRAPES = "15s"


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one scrape had: `at` in Unix seconds, the values by series, when it was readable."""

    at: float
    values: Mapping[str, float]
    seen: Sighting


@dataclass(frozen=True, slots=True)
class Observed:
    """All that was seen: jobs by their id, and scrapes in their order."""

    jobs: Mapping[str, Witnessed]
    scrapes: tuple[Scrape, ...]


class Client:
    """Asks one server, over a connection that it keeps."""

    def __init__(self, url: str) -> None:
        """Connect when first asked."""
        where = urlsplit(url)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        self._path = where.path

    def get(self, path: str) -> Any:
        """Return a JSON answer; None for what is not there."""
        self._connection.request("GET", self._path + path)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {body[:200]!r}")
        return json.loads(body)


def jaeger(client: Client, job: Mapping[str, Any]) -> set[str]:
    """Return the ids of a job's spans that Jaeger shows."""
    found: set[str] = set()
    for trace in dict.fromkeys(job["traces"]):
        document = client.get(f"/api/v3/traces/{trace}")
        for block in document["result"].get("resourceSpans", ()) if document else ():
            found |= {span["spanId"] for span in _spans(block)}
    return found


def tempo(client: Client, job: Mapping[str, Any]) -> set[str]:
    """Return the ids of a job's spans that Tempo shows."""
    found: set[str] = set()
    for trace in dict.fromkeys(job["traces"]):
        document = client.get(f"/api/v2/traces/{trace}") or {}
        for block in (document.get("trace") or {}).get("resourceSpans", ()):
            found |= {base64.b64decode(span["spanId"]).hex() for span in _spans(block)}
    return found


def loki(client: Client, job: Mapping[str, Any]) -> set[str]:
    """Return the bodies of a job's lines that Loki shows."""
    query = f'{{service_name=~".+"}} | job_id="{job["id"]}"'
    start = int((time.time() - 60) * 1e9)
    params = {"query": query, "start": str(start), "end": str(start + 120 * 10**9), "limit": "100"}
    document = client.get(f"/loki/api/v1/query_range?{urlencode(params)}")
    return {line for stream in document["data"]["result"] for _, line, *_ in stream["values"]}


def _spans(block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for scope in block.get("scopeSpans", ()):
        yield from scope["spans"]


READERS = {"jaeger": (jaeger, "spans"), "tempo": (tempo, "spans"), "loki": (loki, "lines")}
"""How each backend is asked, and what of a job it has."""


@dataclass(slots=True)
class Watch:
    """What is known of all jobs; a thread for the target and one for each backend look."""

    jobs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    ends: dict[str, Sighting] = field(default_factory=dict)
    seen: dict[tuple[str, str], Sighting] = field(default_factory=dict)
    looked: dict[tuple[str, str], float] = field(default_factory=dict)
    scrapes: dict[float, Scrape] = field(default_factory=dict)

    def look_at_target(self, client: Client) -> None:
        """Look once which jobs there are, what they have sent, and which have ended."""
        for job in client.get("/jobs"):
            if job["status"] == "done":
                self.ends[job["id"]] = Sighting(job["ended"], job["ended"])
            self.jobs[job["id"]] = job

    def look_for(self, read: Callable[[Mapping[str, Any]], set[str]], what: str) -> None:
        """Look once for what has been sent and was not yet seen."""
        for job in tuple(self.jobs.values()):
            sent = job["sent"]
            wanted = [one for one in job[what] if one in sent and (job["id"], one) not in self.seen]
            if not wanted:
                continue
            start = time.monotonic()
            found = read(job)
            by = time.monotonic()
            for piece in wanted:
                key = (job["id"], piece)
                if piece in found:
                    after = max(sent[piece], self.looked.get(key, 0.0))
                    self.seen[key] = Sighting(after, by)
                self.looked[key] = start

    def look_at_scrapes(self, client: Client) -> None:
        """Look once for new scrapes of the target's page."""
        start = time.monotonic()
        query = quote(f'{{job="bench",__name__=~"bench_.+|up"}}[{_SCRAPES}]')
        document = client.get(f"/api/v1/query?query={query}")
        by = time.monotonic()
        values: dict[float, dict[str, float]] = {}
        for series in document["data"]["result"]:
            labels = series["metric"]
            name = f"{labels['__name__']} {labels.get('operation', '')}"
            for at, value in series["values"]:
                values.setdefault(float(at), {})[name] = float(value)
        for at in sorted(values.keys() - self.scrapes.keys()):
            after = self.looked.get(("prometheus", ""), start)
            self.scrapes[at] = Scrape(at, values[at], Sighting(after, by))
        self.looked["prometheus", ""] = start

    def witnessed(self) -> dict[str, Witnessed]:
        """Return what was seen of every job of which all was seen."""
        found = {}
        for name, job in self.jobs.items():
            spans = [self.seen.get((name, one)) for one in job["spans"]]
            lines = [self.seen.get((name, one)) for one in job["lines"]]
            if name in self.ends and None not in spans and None not in lines:
                found[name] = Witnessed(
                    end=self.ends[name],
                    first=self.seen[name, job["first"]],
                    spans=tuple(one for one in spans if one),
                    lines=tuple(one for one in lines if one),
                )
        return found


def observed(text: str) -> Observed:
    """Return what the process printed."""
    document = json.loads(text)
    scrapes = (
        Scrape(one["at"], one["values"], Sighting(**one["seen"])) for one in document["scrapes"]
    )
    return Observed(
        read_back(json.dumps(document["jobs"])), tuple(sorted(scrapes, key=lambda one: one.at))
    )


def main() -> None:
    """Watch until standard input ends, then print what was seen."""
    ended = threading.Event()
    watch = Watch()
    target = Client(sys.argv[1])
    looks: list[Callable[[], None]] = [lambda: watch.look_at_target(target)]
    for argument in sys.argv[2:]:
        kind, _, url = argument.partition("=")
        looks.append(_look(watch, kind, Client(url)))

    def again(look: Callable[[], None]) -> None:
        while not ended.wait(_PAUSE):
            look()
        look()  # for what has come since

    threads = [threading.Thread(target=again, args=(look,)) for look in looks]
    for thread in threads:
        thread.start()
    print("watching", flush=True)
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    jobs = json.loads(written(watch.witnessed()))
    scrapes = [asdict(one) for one in watch.scrapes.values()]
    print(json.dumps({"jobs": jobs, "scrapes": scrapes}), flush=True)


def _look(watch: Watch, kind: str, client: Client) -> Callable[[], None]:
    if kind == "prometheus":
        return lambda: watch.look_at_scrapes(client)
    reader, what = READERS[kind]
    return lambda: watch.look_for(lambda job: reader(client, job), what)


if __name__ == "__main__":
    main()

"""The collector's read API (docs/collector.md), its health and its own figures."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from validator import __version__
from validator.model import Signal
from validator.ports import Question
from validator.sources.collector import wire
from validator.sources.collector.ingest import Stores
from validator.sources.collector.store import Figures

_LONGEST_WAIT = 60.0
_LONGEST_FORM = 4 * 1024 * 1024
_JSON = "application/json"
_SIGNALS = {"traces": Signal.TRACES, "logs": Signal.LOGS}


class ReadApi:
    """Answers questions about what the collector holds. Its loop is the server's."""

    def __init__(self, stores: Stores) -> None:
        """Read from `stores`."""
        self._store = stores.items
        self._metrics = stores.metrics
        self._changed = asyncio.Event()
        self._released = False
        self._unsubscribe: Callable[[], None] | None = None

    def routes(self) -> list[Route]:
        """Return the documented paths."""
        return [
            Route("/api/v1/evidence", self._evidence, methods=["GET", "POST"]),
            Route("/api/v1/metrics-samples", self._samples),
            Route("/api/v1/status", self._status),
            Route("/healthz", self._health),
            Route("/metrics", self._figures),
        ]

    def begin(self) -> None:
        """Hear of changes, for those who wait for one."""
        loop = asyncio.get_running_loop()

        def changed() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._wake)

        self._unsubscribe = self._store.subscribe(changed)

    def _wake(self) -> None:
        """Wake everyone who waits; who comes later waits for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def release(self) -> None:
        """Let everyone who waits go: the server is ending."""
        self._released = True
        self._wake()

    def end(self) -> None:
        """Hear no more of changes."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    async def _evidence(self, request: Request) -> Response:
        """Answer a question."""
        try:
            query = await _parameters(request)
            question = wire.question_of(query.getlist, self._store.job_id_keys)
            signal = _SIGNALS[query.get("signal", "traces")]
            encoding = query.get("encoding", "json")
            if encoding not in {"json", "protobuf"}:
                return _wrong(f"encoding {encoding[:64]!r} is neither json nor protobuf")
            await self._wait(*_patience(query))
        except KeyError as exc:
            return _wrong(f"signal {exc} is neither traces nor logs")
        except ValueError as exc:
            return _wrong(str(exc))
        return await run_in_threadpool(self._answered, signal, question, encoding)

    def _answered(self, signal: Signal, question: Question, encoding: str) -> Response:
        """Return the answer to a question."""
        found = self._store.ask(signal, question)
        if encoding == "json":
            return Response(wire.json_of(signal, found), media_type=_JSON)
        body = wire.protobuf_of(signal, found)
        return StreamingResponse(body, media_type="application/vnd.obs-validator.evidence")

    async def _samples(self, request: Request) -> Response:
        """Return the latest samples of the families asked for."""
        try:
            await self._wait(*_patience(request.query_params))
        except ValueError as exc:
            return _wrong(str(exc))
        names = frozenset(request.query_params.getlist("metric"))
        version = self._store.version
        samples, lost = await run_in_threadpool(self._metrics.ask, names, "")
        return Response(wire.samples_json(samples, lost, version), media_type=_JSON)

    async def _status(self, request: Request) -> Response:
        """Return the version and the figures; with `wait`, after the next change."""
        try:
            seconds, version = _patience(request.query_params)
        except ValueError as exc:
            return _wrong(str(exc))
        return StreamingResponse(self._status_parts(seconds, version), media_type=_JSON)

    async def _status_parts(self, seconds: float, version: int) -> AsyncIterator[bytes]:
        """Yield a space at once and the status once the wait is over.

        So whoever waits has the headers, and with them a connection to break off.
        """
        yield b" "
        await self._wait(seconds, version)
        figures = self._store.figures()
        document = {
            "version": self._store.version,
            "release": __version__,
            "job_id_keys": sorted(self._store.job_id_keys),
            "bytes": self._store.size,
            "traces": _row(figures[Signal.TRACES]),
            "logs": _row(figures[Signal.LOGS]),
            "metrics": self._metrics.figures(),
        }
        yield orjson.dumps(document)

    async def _wait(self, seconds: float, version: int) -> None:
        """Return when the version is another than the one given, or the wait is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while version == self._store.version and not self._released and seconds > 0:
                    await self._changed.wait()

    async def _health(self, _request: Request) -> Response:
        """Say that it is up."""
        return PlainTextResponse("ok\n")

    async def _figures(self, _request: Request) -> Response:
        """Return the collector's own figures as Prometheus reads them."""
        text = "".join(f"{line}\n" for line in self._lines())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    def _lines(self) -> Iterator[str]:
        """Yield the figures in Prometheus's text format."""
        figures = {str(signal): _row(row) for signal, row in self._store.figures().items()}
        figures[str(Signal.METRICS)] = self._metrics.figures()
        for name, kind, explained in (
            ("received", "counter", "Spans, log records and metric requests taken in."),
            ("rejected", "counter", "Items refused because they were invalid."),
            ("evicted", "counter", "Items let go of for want of room or for their age."),
            ("resident", "gauge", "Items held: spans, log records, samples."),
        ):
            family = f"obs_validator_collector_{name}"
            family += "_total" if kind == "counter" else "_items"
            yield f"# HELP {family} {explained}"
            yield f"# TYPE {family} {kind}"
            for signal, row in figures.items():
                yield f'{family}{{signal="{signal}"}} {row[name]}'
        yield "# HELP obs_validator_collector_resident_bytes About what spans and logs take."
        yield "# TYPE obs_validator_collector_resident_bytes gauge"
        yield f"obs_validator_collector_resident_bytes {self._store.size}"


async def _parameters(request: Request) -> QueryParams:
    """Return a question's parameters: of the URL or, for many trace ids, of a form."""
    if request.method == "GET":
        return request.query_params
    form = bytearray()
    async for chunk in request.stream():
        form += chunk
        if len(form) > _LONGEST_FORM:
            raise ValueError(f"the form is more than {_LONGEST_FORM} bytes")
    return QueryParams(form.decode("utf-8", "replace"))


def _patience(query: QueryParams) -> tuple[float, int]:
    """Return how many seconds to wait for a change, and of which version."""
    try:
        return min(float(query.get("wait", "0")), _LONGEST_WAIT), int(query.get("version", "-1"))
    except ValueError as exc:
        raise ValueError("wait is seconds, version a whole number") from exc


def _row(figures: Figures) -> dict[str, int]:
    """Return figures by name."""
    return {
        "received": figures.received,
        "rejected": figures.rejected,
        "evicted": figures.evicted,
        "resident": figures.resident,
    }


def _wrong(why: str) -> Response:
    """Return an answer to a question that cannot be understood."""
    return Response(orjson.dumps({"error": why}), 400, media_type=_JSON)

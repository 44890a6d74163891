"""The built-in collector as a source, read in another process through its read API."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from urllib.parse import urlencode

import orjson

from validator.errors import SourceError, SourceFailure
from validator.model import Signal
from validator.ports import Answer, Probed, Question
from validator.sources.base import SourceBase
from validator.sources.collector import wire
from validator.sources.control import plant
from validator.sources.http import Call, Http, Reply, shown

_EVIDENCE = "application/vnd.obs-validator.evidence"
_JSON = "application/json"
_WAIT = 20.0
"""Seconds of one long poll."""
_PAUSE = 1.0
"""Seconds after a long poll that failed."""


class RemoteCollectorSource(SourceBase):
    """Reads a collector that runs as a process of its own."""

    kind = "collector"

    def __init__(self, name: str, url: str, http: Http, lag_budget: float) -> None:
        """Read the collector at `url` (`http://host:port`) through `http`."""
        super().__init__(name, http, lag_budget)
        self._url = url.rstrip("/")
        self._waker = _Waker(self._url, http.patient(_WAIT + http.timeout))

    def close(self) -> None:
        """End the long poll and let go of the connections."""
        self._waker.close()
        super().close()

    def plant(self, trace_id: str) -> None:
        """Send a span and a log line of trace `trace_id` over OTLP/HTTP."""
        plant(self._http, self._url, trace_id)

    def on_change(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after each change; return what ends that."""
        return self._waker.add(wake)

    def probe(self) -> Probed:
        """Ask for the collector's status."""
        return probe_status(self._http, self._url)

    def traces(self, question: Question) -> Answer:
        """Return the spans of the job."""
        return self._evidence(Signal.TRACES, question)

    def logs(self, question: Question) -> Answer:
        """Return the log lines of the job."""
        return self._evidence(Signal.LOGS, question)

    def samples(self, metrics: frozenset[str]) -> Answer:
        """Return the latest samples of these families, and `target_info`."""
        params = tuple(("metric", metric) for metric in sorted(metrics))
        reply = self._http.call(Call(f"{self._url}/api/v1/metrics-samples", params=params))
        self._expect(reply, _JSON)
        try:
            return wire.read_samples(reply.body, self._name)
        except wire.NotAnAnswerError as exc:
            raise self._http.error(SourceFailure.NONSENSE, f"{shown(self._url)}: {exc}") from exc

    def _evidence(self, signal: Signal, question: Question) -> Answer:
        """Ask for the evidence of one signal; in a form, for a URL holds only so many ids."""
        params = wire.question_params(question)
        params += [("signal", signal.value), ("encoding", "protobuf")]
        reply = self._http.call(
            Call(
                f"{self._url}/api/v1/evidence",
                method="POST",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(params).encode(),
            )
        )
        self._expect(reply, _EVIDENCE)
        try:
            return wire.read(signal, reply.body, self._name).answer
        except wire.NotAnAnswerError as exc:
            raise self._http.error(SourceFailure.NONSENSE, f"{shown(self._url)}: {exc}") from exc

    def _expect(self, reply: Reply, media: str) -> None:
        """Make sure that a collector answered, and not what stands before it."""
        if reply.media != media:
            what = reply.media or "something without a type"
            detail = f"{shown(self._url)} answered {what}, not {media}"
            raise self._http.error(
                SourceFailure.NONSENSE, f"{detail}: is it a collector, and is a login before it?"
            )


def probe_status(http: Http, url: str) -> Probed:
    """Ask the collector at `url` for its status; raises `SourceError`."""
    reply = http.call(Call(f"{url}/api/v1/status"))
    try:
        status = orjson.loads(reply.body)
        int(status["version"])  # that of its memory: a collector has one
        release = status.get("release", "")
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        detail = f"{shown(url)} answered no status: is it a collector, and is a login before it?"
        raise http.error(SourceFailure.NONSENSE, detail) from exc
    return Probed(str(release)[:100], reply.took, reply.clock_offset)


class _Waker:
    """Waits for changes in one thread, which begins with the first listener."""

    def __init__(self, url: str, http: Http) -> None:
        """Poll the collector at `url` once there is a listener."""
        self._url = url
        self._http = http
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None

    def add(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after each change; return what ends that."""
        with self._lock:
            self._listeners.append(wake)
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="collector-changes", daemon=True
                )
                self._thread.start()

        def end() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners.remove(wake)

        return end

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._http.close()
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)

    def _run(self) -> None:
        """Poll until closed; a version that differs is a change."""
        version = -1
        while not self._ended.is_set():
            try:
                now = self._poll(version)
            except SourceError:
                self._ended.wait(_PAUSE)
                continue
            if now != version:
                version = now
                with self._lock:
                    listeners = tuple(self._listeners)
                for wake in listeners if not self._ended.is_set() else ():
                    wake()

    def _poll(self, version: int) -> int:
        """Return the version of the collector's memory once it differs, or after the wait."""
        params = (("wait", f"{_WAIT:g}"), ("version", str(version)))
        reply = self._http.call(Call(f"{self._url}/api/v1/status", params=params))
        try:
            return int(orjson.loads(reply.body)["version"])
        except (ValueError, KeyError, TypeError) as exc:
            detail = f"{shown(self._url)} answered no status"
            raise self._http.error(SourceFailure.NONSENSE, detail) from exc

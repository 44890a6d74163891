"""Jobs submitted, followed and cleaned up over HTTP, as the target's configuration says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from validator.config_targets import Fields, Follow, HttpSubmit, Request, TargetSettings
from validator.errors import ConfigError, SubmitError
from validator.model import AttributeValue, JobState
from validator.ports import Mark, Progress
from validator.submit.exchange import Reply
from validator.submit.patience import patiently
from validator.submit.sender import Means, Sender, search
from validator.templates import Context, UnboundTemplate, context, render_text, settled

_TRACE_ID = re.compile(r"(?<![0-9a-f])(?!0{32})[0-9a-f]{32}(?![0-9a-f])")
_LONGEST_ID = 500


class HttpSubmitter:
    """Implements `validator.ports.Submitter`."""

    def __init__(self, name: str, target: TargetSettings, means: Means) -> None:
        """Submit as `target`, called `name` in the configuration, says; closes the session."""
        if target.submit is None:
            raise ConfigError(f"targets.{name}: has no `submit`; only existing jobs can be checked")
        self._http: HttpSubmit = target.submit.http
        self._target = target
        self._at = f"targets.{name}.submit.http"
        self._means = means
        self._sender = Sender(target, means)
        self._exchange = self._sender.exchange

    @property
    def poll_interval(self) -> float:
        """Return how many seconds to wait between two calls of `follow`."""
        return (
            self._http.follow.every if self._http.follow else Follow.model_fields["every"].default
        )

    @property
    def follows(self) -> bool:
        """Whether the target can be asked what became of a job."""
        return self._http.follow is not None

    def submit(self, mark: Mark) -> Progress:
        """Hand the job over. Without `follow`, its answer is the job's end."""
        names = context(settled(mark.context))
        reply = self._sender.send(self._http, self._at, names, mark)
        job_id = self._job_id(reply, names)
        return Progress(
            job_id=job_id,
            status="submitted" if self.follows else str(reply.status),
            state=self._state(reply),
            detail=self._unseen_header(reply),
            fields=self._fields(reply, self._http.fields),
            trace_id=self._trace_id(reply),
        )

    def _state(self, reply: Reply) -> JobState:
        """Say what the answer to a submission means: 202 accepts, and says not how it ends."""
        if self.follows:
            return JobState.RUNNING
        return JobState.UNKNOWN if reply.status == 202 else JobState.PASSED

    def follow(self, mark: Mark, job_id: str) -> Progress:
        """Ask what became of the job."""
        follow = self._http.follow
        if follow is None:
            return Progress(job_id, "", JobState.UNKNOWN, "the target cannot be asked", {}, "")
        names = context({**settled(mark.context), "job.id": job_id})
        headers = self._http.headers if follow.headers is None else follow.headers
        asking = Request.model_construct(  # of what is validated already
            url=follow.url, method="GET", headers=headers, timeout=follow.timeout
        )
        call = self._sender.call(asking, f"{self._at}.follow", names, mark, traced=False)
        reply = patiently(self._exchange, call, self._means.clock)
        if reply.status == 429:
            said = str(self._exchange.refusal(reply, ""))
            return Progress(job_id, "", JobState.RUNNING, said, {}, "")
        self._sender.accept(reply, asking, f"{self._at}.follow")
        return self._progress(reply, follow, job_id)

    def finish(self, mark: Mark, progress: Progress) -> None:
        """Make the requests of `then`, in order."""
        known = {**settled(mark.context), **_own(progress.fields), "job.id": progress.job_id}
        for index, request in enumerate(self._http.then):
            self._sender.send(request, f"{self._at}.then[{index}]", context(known), mark)

    def clean_up(self, mark: Mark, job_id: str, within: float = math.inf) -> None:
        """Make the request of `clean_up`, which may take `within` seconds and its `timeout`."""
        request = self._http.clean_up
        if request:
            request = request.model_copy(update={"timeout": min(request.timeout, within)})
            names = context({**settled(mark.context), "job.id": job_id})
            self._sender.send(request, f"{self._at}.clean_up", names, mark)

    def close(self) -> None:
        """Let go of connections."""
        self._means.session.close()

    def _job_id(self, reply: Reply, names: Context) -> str:
        """Return the id that the answer gives the job."""
        where = self._http.job_id
        if not isinstance(where, str):
            value = reply.headers.get(where.header, "")
            match = re.search(where.pattern, value)
            if match is None or not match[1]:
                text = f'no job id: the header {where.header} is "{value}", not {where.pattern}'
                raise self._wrong(reply, text)
            return match[1][:_LONGEST_ID]
        if "{{" in where:
            try:
                return render_text(where, names)
            except (UnboundTemplate, ConfigError) as error:
                raise self._wrong(reply, f"no job id: {error}") from error
        return self._id_in(reply, where)

    def _id_in(self, reply: Reply, path: str) -> str:
        """Return the job id in an answer's JSON."""
        answer = self._exchange.json(reply)
        value = search(path, answer)
        if isinstance(value, int | str) and not isinstance(value, bool):
            text = str(value).strip()
            if 0 < len(text) <= _LONGEST_ID:
                return text
        found = "nothing" if value is None else f"{json.dumps(value)[:60]}, which is no id"
        raise self._wrong(reply, f'no job id: "{path}" finds {found} in {_keys(answer)}')

    def _progress(self, reply: Reply, follow: Follow, job_id: str) -> Progress:
        """Return what an answer to `follow` says."""
        answer = self._exchange.json(reply)
        value = search(follow.status, answer)
        if value is None or isinstance(value, dict | list):
            text = f'no status: "{follow.status}" finds no word in {_keys(answer)}'
            raise self._wrong(reply, text)
        word = str(value).lower() if isinstance(value, bool) else str(value)
        state, detail = _meaning(word, follow)
        fields = self._fields(reply, follow.fields)
        return Progress(job_id, word, state, detail, fields, self._trace_id(reply))

    def _fields(self, reply: Reply, fields: Fields) -> dict[str, AttributeValue]:
        """Return what the answer says of the named fields; what it does not say is left out."""
        answer = self._exchange.json(reply) if fields else None
        found = {name: search(path, answer) for name, path in fields.items()}
        return {name: _frozen(value) for name, value in found.items() if value is not None}

    def _trace_id(self, reply: Reply) -> str:
        """Return the trace id that the target answers in a header, empty if it does not."""
        name = self._target.trace_id_header
        match = _TRACE_ID.search(reply.headers.get(name, "").lower()) if name else None
        return match[0] if match else ""

    def _unseen_header(self, reply: Reply) -> str:
        """Say that the header with the trace id is not there, or holds none."""
        name = self._target.trace_id_header
        if not name or self._trace_id(reply):
            return ""
        value = reply.headers.get(name)
        if value is None:
            return f"the answer has no header {name}, which should tell the trace id"
        return f'the header {name} holds no trace id: "{value[:80]}"'

    def _wrong(self, reply: Reply, text: str) -> SubmitError:
        """Say what is wrong with an answer."""
        line = self._exchange.line(reply.call, f"answered {reply.status} with {text}")
        return SubmitError(line)


def _meaning(word: str, follow: Follow) -> tuple[JobState, str]:
    """Return what the target's word means, and a remark if it is not known."""
    if word in follow.done:
        return JobState.PASSED, ""
    if word in follow.failed:
        return JobState.FAILED, f'the target says "{word}"'
    if word in follow.running:
        return JobState.RUNNING, ""
    known = ", ".join((*follow.done, *follow.failed, *follow.running))
    return JobState.RUNNING, f'the target says "{word[:80]}"; known words: {known}'


def _keys(answer: Any) -> str:
    """Say what an answer is, so that the right path can be written."""
    if isinstance(answer, dict):
        keys = ", ".join(str(key)[:40] for key in list(answer)[:20])
        return f"an answer with the keys {keys}" if keys else "an answer without keys"
    return "an answer that is a list" if isinstance(answer, list) else "an answer without keys"


def _frozen(value: Any) -> AttributeValue:
    """Return a JSON value as evidence has it: an array is a tuple."""
    if isinstance(value, list):
        return tuple(_frozen(inner) for inner in value)
    if isinstance(value, dict):
        return {key: _frozen(inner) for key, inner in value.items()}
    return value  # type: ignore[no-any-return]  # text, number, boolean or null


def _own(fields: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Return the fields under the names that templates use."""
    return {f"job.{name}": value for name, value in fields.items()}

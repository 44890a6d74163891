"""Removing what runs have left that nobody cleaned up: a killed validator's jobs."""

from __future__ import annotations

from validator.config_targets import TargetSettings
from validator.ports import Mark
from validator.submit.sender import Means, Sender
from validator.templates import context, settled


def sweep(name: str, target: TargetSettings, means: Means, mark: Mark) -> str | None:
    """Make the target's `sweep` once; return what it answered, None where it has none.

    What is old enough to be left over is the target's to say, in the request. Raises
    `SubmitError`.
    """
    request = target.submit.http.sweep if target.submit else None
    if request is None:
        return None
    at = f"targets.{name}.submit.http.sweep"
    sender = Sender(target, means)
    call = sender.call(request, at, context(settled(mark.context)), mark, traced=False)
    reply = sender.exchange.send(call)
    sender.accept(reply, request, at)
    return " ".join(reply.body.decode("utf-8", "replace").split())

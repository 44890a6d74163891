"""What a task was given, checked by the model that its publisher checked it by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline import payloads
from pipeline.dead_letters import DeadLetterError, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

_M = TypeVar("_M", bound=BaseModel)


def given(task: str, model: type[_M], places: Sequence[Any], names: dict[str, Any]) -> _M:
    """Return a task's payload; one that does not fit makes its message a dead letter."""
    if places:
        raise DeadLetterError(Reason.PAYLOAD, f"{task} takes no arguments by place")
    try:
        return model.model_validate(names)
    except ValidationError as error:
        raise DeadLetterError(Reason.PAYLOAD, payloads.said(task, error)) from None

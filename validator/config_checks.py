"""The checks of a suite: each looked at in full when the suite is loaded.

Parameters are rendered with example values, taken by the kind's model, and judged once on
evidence that is empty: what cannot be judged then could not be judged later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from checks import CheckKind
from validator import config_errors
from validator.config_values import Strict, Text
from validator.errors import ConfigError
from validator.model import Evidence, Job, JobState
from validator.suite import CheckSpec
from validator.templates import RUN_NAMES, Context, TemplateError, names, render, texts, unknown
from validator.yamlfile import At, Document, Problem, nearest, shown

_WORDS = ("catches", "level", "name")
_NO_CATCHES = 'the key "catches" is missing; name the incident that this check would catch'

EMPTY = Evidence(
    job=Job(
        id="",
        run_id="example",
        target="example",
        state=JobState.NOT_SUBMITTED,
        status="",
        detail="",
        fields={},
        traces=(),
        sent_parent="",
        existing=False,
        submitted=None,
        ended=None,
    ),
    spans=(),
    logs=(),
    samples=(),
    alerts=(),
    sources=(),
    coverage={},
    job_id_keys=("job.id",),
    skew=0.05,
    now=0.0,
)
"""Evidence of nothing, on which every check is tried."""


class CheckItem(Strict):
    """What a check has beside its parameters."""

    catches: Text
    name: Text | None = None
    level: Literal["required", "advisory", "quarantined"] = "required"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What checks are looked at with: the kinds, and what their templates may name."""

    document: Document
    kinds: Mapping[str, CheckKind]
    job_names: frozenset[str]
    example: Context


@dataclass(slots=True)
class Checks:
    """The checks of one suite, as far as they could be taken, and what is wrong with the rest."""

    around: Surroundings
    specs: list[CheckSpec]
    problems: list[Problem]

    def add(self, index: int, item: Any) -> None:
        """Look at one item of the list."""
        at: At = ("checks", index)
        kind = self._kind(item, at)
        if kind is None:
            return
        rest = {key: value for key, value in item.items() if key in _WORDS}
        taken = self._item(rest, at)
        params = {} if item[kind] is None else item[kind]
        if self._judged(kind, params, (*at, kind)) and taken is not None:
            where = self.around.document.where((*at, kind))
            self.specs.append(
                CheckSpec(kind, taken.name or "", params, taken.catches, taken.level, where)
            )

    def named(self) -> tuple[CheckSpec, ...]:
        """Return the checks with a name each: its own, or its kind and a number."""
        given = Counter(spec.name for spec in self.specs if spec.name)
        for spec in self.specs:
            if spec.name and given[spec.name] > 1:
                line = int(spec.where.rpartition(":")[2])
                message = f'the name "{spec.name}" is given to {given[spec.name]} checks'
                self.problems.append(Problem(line, message))
        taken = set(given)
        done = []
        for spec in self.specs:
            name = spec.name or _free(spec.kind, taken)
            taken.add(name)
            done.append(
                CheckSpec(spec.kind, name, spec.params, spec.catches, spec.level, spec.where)
            )
        return tuple(done)

    def _kind(self, item: Any, at: At) -> str | None:
        """Return the one kind of an item, or None after complaining."""
        if not isinstance(item, dict):
            self._complain(at, f"expected `kind: parameters`, found {shown(item)}")
            return None
        kinds = [key for key in item if key in self.around.kinds]
        others = [key for key in item if key not in self.around.kinds and key not in _WORDS]
        for key in others:
            if kinds:
                self._complain(at, f'unknown key "{key}"{nearest(key, _WORDS)}', key)
            else:
                known = nearest(key, self.around.kinds)
                self._complain(at, f'unknown check "{key}"{known}', key)
        if len(kinds) > 1:
            self._complain(at, f"one check to an item; found {' and '.join(kinds)}")
        elif not kinds and not others:
            self._complain(at, f"names no check{nearest('', self.around.kinds)}")
        return kinds[0] if len(kinds) == 1 else None

    def _item(self, rest: Mapping[str, Any], at: At) -> CheckItem | None:
        """Return what stands beside the parameters, or None after complaining."""
        if not str(rest.get("catches") or "").strip():
            self._complain(at, _NO_CATCHES, "catches")
            rest = {**rest, "catches": "?"}
        try:
            return CheckItem.model_validate(rest)
        except ValidationError as error:
            found = config_errors.problems(error, CheckItem, self.around.document, at)
            self.problems += found
            return None

    def _judged(self, kind: str, params: Any, at: At) -> bool:
        """Try the parameters; return whether they can be judged with."""
        if not isinstance(params, dict):
            self._complain(at, f"expected a mapping of parameters, found {shown(params)}")
            return False
        if not self._templates(params, at):
            return False
        check = self.around.kinds[kind]
        try:
            example = check.params.model_validate(render(params, self.around.example))
        except ValidationError as error:
            self.problems += config_errors.problems(error, check.params, self.around.document, at)
            return False
        except ConfigError as error:
            self._complain(at, str(error))
            return False
        try:
            check.evaluate(example, EMPTY)
        except Exception as error:  # noqa: BLE001 - whatever it is, it would come again in a run
            self._complain(at, f"cannot be judged: {type(error).__name__}: {error}")
            return False
        return True

    def _templates(self, params: Mapping[str, Any], at: At) -> bool:
        """Look at the templates; return whether all of them name what there is."""
        before = len(self.problems)
        known = self.around.job_names
        for place, text in texts(params, at):
            try:
                for name in unknown(names(text), known):
                    near = nearest(name, RUN_NAMES | known)
                    self._complain(place, f'the template names "{name}"{near}')
            except TemplateError as error:
                self._complain(place, f"is not a template: {error}")
        return len(self.problems) == before

    def _complain(self, at: At, message: str, key: str = "") -> None:
        """Keep a problem of what stands at `at`; its line is that of `key` there, if it is."""
        line = self.around.document.line((*at, key) if key else at)
        self.problems.append(Problem(line, config_errors.dotted(at) + message))


def _free(kind: str, taken: set[str]) -> str:
    """Return the kind's name, or with a number the first that is not taken."""
    name, number = kind, 1
    while name in taken:
        number += 1
        name = f"{kind}-{number}"
    return name

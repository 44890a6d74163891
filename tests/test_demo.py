"""What the demonstration makes of runs: what should have failed, and what cried wolf."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from checks import CHECKS
from tests.traces import evidence
from validator import demo
from validator.cli import cli
from validator.commands._demo import _end
from validator.config import load_settings
from validator.demo import BREAKS, GOOD, Break, Shown, judge_break
from validator.loader import load_suites
from validator.model import Run, Status, Verdict

ROOT = Path(__file__).resolve().parents[1]
BROKEN = Break(("x",), "x is broken", frozenset({("s", "a")}))


def test_without_the_reference_pipeline_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a plain `pip install obs-validator`, and in the image."""
    monkeypatch.setitem(sys.modules, "celery", None)  # as Python has what cannot be imported
    done = CliRunner().invoke(cli, ["demo"])
    assert done.exit_code == 2
    assert "`demo` needs the reference pipeline: pip install 'obs-validator[pipeline]'" in (
        done.output
    )


def run(**statuses: Status) -> Run:
    """Return a run of the suite `s` with these verdicts by name."""
    plain = Verdict("x", "", Status.PASS, "c", "why", (), (), 1, (), "", "")
    verdicts = tuple(replace(plain, name=name, status=how) for name, how in statuses.items())
    return Run("r", "s", "t", 1, "1", 0.0, 1.0, verdicts, (), evidence(), False)  # noqa: FBT003


@pytest.mark.parametrize(
    ("broken", "statuses", "wrong"),
    [
        (GOOD, {"a": Status.PASS}, ()),
        (GOOD, {"a": Status.FAIL}, ("s/a failed without reason",)),
        (BROKEN, {"a": Status.FAIL, "b": Status.BLOCKED}, ()),
        (BROKEN, {"a": Status.PASS}, ("s/a did not see it",)),
        (BROKEN, {"a": Status.FAIL, "b": Status.FAIL}, ("s/b failed without reason",)),
        (BROKEN, {"a": Status.INCONCLUSIVE}, ("s/a did not see it", "s/a is inconclusive: why")),
        (BROKEN, {}, ("s/a did not see it",)),
    ],
)
def test_a_break_is_caught_by_its_checks_and_no_other(
    broken: Break, statuses: dict[str, Status], wrong: tuple[str, ...]
) -> None:
    """A check that did not see it, one that failed without reason, one that cannot say."""
    assert judge_break(broken, [run(**statuses)]) == wrong


@pytest.mark.parametrize("fault", ["none", "wrong", "missing"])
def test_the_code_is_0_only_if_everything_was_as_it_should(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All parts, each without a fault: one that is wrong or was not played makes it 1."""
    shown = [Shown("good", (), (), 1.0)]
    shown += [Shown(broken.switches[0], (), (), 1.0) for broken in BREAKS]
    if fault == "wrong":
        shown[3] = replace(shown[3], wrong=("s/a did not see it",))
    elif fault == "missing":
        shown.pop()
    assert _end(shown, 60.0, tmp_path / "r.html") == (0 if fault == "none" else 1)
    said = capsys.readouterr().out
    assert ("not as it should be" in said) is (fault != "none")
    assert (tmp_path / "r.html").as_uri() in said


def test_every_check_that_should_catch_a_break_is_in_the_shipped_suites() -> None:
    """A promise that no suite could keep would fail only when it is played."""
    names = [line.split("}")[0] for line in _shipped().split("${")[1:]]
    settings = load_settings(
        ROOT / "suites" / "obs-validator.yaml", dict.fromkeys(names, "http://127.0.0.1:1")
    )
    there = {(s.name, c.name) for s in load_suites(settings, CHECKS) for c in s.checks}
    assert {one for broken in BREAKS for one in broken.caught_by} <= there
    assert all(broken.caught_by for broken in demo.BREAKS)


def _shipped() -> str:
    return (ROOT / "suites" / "obs-validator.yaml").read_text()

"""What suites become."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checks import CHECKS
from tests.config.examples import SUITE, settings_in, suite_in
from tests.config.kinds import KINDS
from validator.commands._check import choose
from validator.errors import ConfigError
from validator.loader import load_suite, load_suites
from validator.suite import CheckSpec, Suite


def test_everything_that_is_written_is_there(tmp_path: Path) -> None:
    """Each key reaches the suite; parameters stay as written; variables are put in."""
    settings = settings_in(tmp_path)
    path = suite_in(tmp_path, "one.yaml")
    suite = load_suite(path, settings, KINDS)
    assert suite == Suite(
        name="pipeline",
        ring=1,
        target="pipeline",
        job={"url": "http://127.0.0.1:8009/article?{{ run.nonce }}", "n": 3},
        deadline=90.0,
        settle=0.5,
        skew=0.0,
        concurrent=True,
        checks=suite.checks,
        path=str(path),
    )
    assert suite.checks[0] == CheckSpec(
        kind="spans_of",
        name="spans_of",
        params={
            "service": "scraper",
            "count": "{{ job.n }}",
            "equals": {"job.id": "{{ job.id }}", "code": "{{ job.error_code }}"},
        },
        catches="an attribute is dropped",
        level="advisory",
        where=f"{path}:10",
    )


def test_checks_without_a_name_are_named_by_their_kind(tmp_path: Path) -> None:
    """Repeats get a number that nobody has; names are unique."""
    suite = load_suite(suite_in(tmp_path, "one.yaml"), settings_in(tmp_path), KINDS)
    assert [check.name for check in suite.checks] == [
        "spans_of",
        "at_most",
        "at_most-3",
        "at_most-2",
    ]
    assert [check.params for check in suite.checks[1:3]] == [{}, {"count": 2}]


def test_defaults(tmp_path: Path) -> None:
    """A suite of three keys is complete."""
    path = suite_in(
        tmp_path,
        "one.yaml",
        "suite: s\ntarget: watched\nchecks: [{at_most: {}, catches: c}]\n",
    )
    suite = load_suite(path, settings_in(tmp_path), KINDS)
    assert (suite.ring, suite.deadline, suite.settle, suite.skew, suite.concurrent) == (
        2,
        60.0,
        2.0,
        0.05,
        False,
    )
    assert suite.job == {}
    assert suite.checks[0].level == "required"


def test_suites_are_found_by_globs_each_once_in_order(tmp_path: Path) -> None:
    """Two globs that find the same file load it once; other globs replace the configuration's."""
    settings = settings_in(tmp_path)
    for name in ("b", "a"):
        suite_in(tmp_path, f"{name}.yaml", SUITE.replace("suite: pipeline", f"suite: {name}"))
    assert [suite.name for suite in load_suites(settings, KINDS)] == ["a", "b"]
    found = load_suites(settings, KINDS, ["suites/a.yaml", "suites/*.yaml"])
    assert [suite.name for suite in found] == ["a", "b"]
    other = load_suites(settings, KINDS, ["b.yaml"], tmp_path / "suites")
    assert [suite.name for suite in other] == ["b"]
    absolute = load_suites(settings, KINDS, [str(tmp_path / "suites" / "b.yaml")])
    assert [suite.name for suite in absolute] == ["b"]


def test_a_glob_that_finds_nothing_is_an_error(tmp_path: Path) -> None:
    """Nothing to run is not a success; the line is that of the configuration."""
    settings = settings_in(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_suites(settings, KINDS)
    assert str(caught.value) == (
        f'{tmp_path}/obs-validator.yaml:38: suites: no file is found by "suites/*.yaml" '
        f"in {tmp_path}"
    )
    with pytest.raises(ConfigError, match=r'^suites: no file is found by "x.yaml" in '):
        load_suites(settings, KINDS, ["x.yaml"])
    with pytest.raises(ConfigError, match=r'^suites: "" is not a glob'):
        load_suites(settings, KINDS, [""])


def test_the_errors_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """Nobody mends one file to learn of the next; and no suite of them is returned."""
    settings = settings_in(tmp_path)
    suite_in(tmp_path, "a.yaml", SUITE.replace("ring: 1", "ring: 9"))
    suite_in(tmp_path, "b.yaml", SUITE.replace("spans_of", "span_of"))
    suite_in(tmp_path, "c.yaml")
    with pytest.raises(ConfigError) as caught:
        load_suites(settings, KINDS)
    lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["suites/a.yaml:2", "suites/b.yaml:10"]


def test_suite_names_are_unique(tmp_path: Path) -> None:
    """Results are told apart by the suite's name."""
    settings = settings_in(tmp_path)
    suite_in(tmp_path, "a.yaml")
    suite_in(tmp_path, "b.yaml")
    with pytest.raises(ConfigError, match=r'b.yaml:1: the suite "pipeline" is in .*a.yaml already'):
        load_suites(settings, KINDS)


def test_a_suite_that_is_named_twice_is_one(tmp_path: Path) -> None:
    """By its name and by its file; another file with the name is refused: runs are known by it."""
    settings = settings_in(tmp_path)
    checks = "checks: [{job_outcome: {}, catches: it fails}]"
    outcome = f"{{suite: pipeline, target: pipeline, job: {{url: http://x}}, {checks}}}"
    mine, other = suite_in(tmp_path, "a.yaml", outcome), tmp_path / "other" / "a.yaml"
    other.parent.mkdir()
    other.write_text(mine.read_text())
    for wanted in (["pipeline"] * 2, [str(mine)] * 2, ["pipeline", str(mine)]):
        assert [suite.name for suite in choose(settings, wanted, None)] == ["pipeline"]
    for wanted in (["pipeline", str(other)], [str(mine), str(other)]):
        with pytest.raises(ConfigError, match=r'a.yaml:1: the suite "pipeline" is in .* already'):
            choose(settings, wanted, None)


def test_answers_of_unknown_type_may_be_numbers(tmp_path: Path) -> None:
    """A field that the target will answer fits a number as well as a text."""
    text = SUITE.replace('count: "{{ job.n }}"', 'count: "{{ job.error_code }}"')
    suite = load_suite(suite_in(tmp_path, "a.yaml", text), settings_in(tmp_path), KINDS)
    assert suite.checks[0].params["count"] == "{{ job.error_code }}"


def test_an_existing_jobs_target_needs_no_job(tmp_path: Path) -> None:
    """Templates of a target without `submit` ask nothing of the suite."""
    text = (
        "suite: s\ntarget: watched\nchecks: [{spans_of: {service: '{{ job.id }}'}, catches: c}]\n"
    )
    assert load_suite(suite_in(tmp_path, "a.yaml", text), settings_in(tmp_path), KINDS).checks


@pytest.mark.parametrize("kind", sorted(CHECKS))
def test_every_real_kind_refuses_an_unknown_key_with_its_known_ones(
    kind: str, tmp_path: Path
) -> None:
    """The message knows the parameters of the kinds that are shipped."""
    text = f"suite: s\ntarget: watched\nchecks: [{{{kind}: {{no_such_key: 1}}, catches: c}}]\n"
    with pytest.raises(ConfigError) as caught:
        load_suite(suite_in(tmp_path, "a.yaml", text), settings_in(tmp_path), CHECKS)
    for key in CHECKS[kind].params.model_fields:
        assert key in json.dumps(str(caught.value))

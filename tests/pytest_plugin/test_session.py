"""What the plugin does around tests: set up, fixtures, cleaning up; and nothing if not used."""

from __future__ import annotations

import pytest

from tests.e2e.command import free_port, running
from tests.pytest_plugin.target import CONFIG, Bench
from tests.pytest_plugin.test_functions import THREE

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.req("X-09")]


def test_without_a_configuration_every_test_that_needs_one_says_what_to_do(users: Bench) -> None:
    """An error, and no skip: a test that asked nothing must not look well."""
    said = users.run(
        """
        from validator.pytest_plugin import submit_job

        def test_function():
            submit_job(url="u")

        def test_fixture(synthetic_job):
            synthetic_job(url="u")

        def test_other():
            pass
        """,
        config=False,
    )
    said.outcomes(passed=1, failed=1, error=1)
    assert said.out.count("run pytest with --obs-validator-config FILE, or set") >= 2
    assert "skipped" not in said.out


def test_who_does_not_use_it_pays_nothing_for_it(users: Bench) -> None:
    """Nothing heavy is imported, with a configuration or without, and no warning is given."""
    test = """
        import sys

        def test_modules():
            heavy = {"requests", "pydantic", "uvicorn", "grpc", "rich", "validator.app", "checks"}
            assert "validator.pytest_plugin" in sys.modules
            assert not heavy & set(sys.modules)
        """
    users.run(test).outcomes(passed=1)
    users.run(test, config=False).outcomes(passed=1)


def test_its_options_are_explained(users: Bench) -> None:
    """Each in a sentence, and so are the keys of the ini file."""
    said = users.run("", "--help")
    for name in ("--obs-validator-config", "--obs-validator-target", "obs_validator_metrics"):
        assert name in said.out
    assert "the target that jobs are sent to" in " ".join(said.out.split()).lower()


def test_the_ini_file_can_say_everything(users: Bench) -> None:
    """Its paths are meant from its folder; one that is wrong is told by every test."""
    users.ini = "obs_validator_config = obs.yaml\nobs_validator_target = small\n"
    users.run(THREE, config=False).outcomes(passed=3)
    users.ini = "obs_validator_config = obs.yaml\nobs_validator_target = smal\n"
    said = users.run(THREE, config=False)
    said.outcomes(failed=3)
    assert "there is no target `smal` in" in said.out
    assert 'did you mean "small"?' in said.out


def test_without_suites_the_metrics_are_listed_and_the_lag_is_waited_for(users: Bench) -> None:
    """Suites are hints; without them nobody knows which service is still to come."""
    (users.folder / "small.suite.yaml").unlink()
    users.run(THREE, "-k", "trace").outcomes(passed=1)
    said = users.run(THREE, "-k", "test_label")
    assert "list it in obs_validator_metrics" in said.out
    users.ini = (
        "obs_validator_metrics =\n  requests_seconds\n"
        "obs_validator_mark =\nobs_validator_job = url=u\n"
    )
    users.run(THREE, "-k", "test_label").outcomes(passed=1)


def test_fixtures_for_tests_of_ones_own(users: Bench) -> None:
    """A job with what it left; a suite whose report is the failure."""
    test = """
        def test_job(synthetic_job):
            job = synthetic_job(url="https://example.com/x")
            assert job.trace().services == {"api", "worker"}
            assert job.span("worker", "scrape_task").attributes["job.id"] == job.job_id
            assert [one.increase for one in job.metrics("worker")] == [1]
            assert job.job.status == "done"

        def test_suite(run_suite):
            (run,) = run_suite("small")
            assert run.evidence.spans
        """
    users.run(test).outcomes(passed=2)
    users.target.broken = {"context"}
    said = users.run(test, "-k", "suite")
    said.outcomes(failed=1)
    assert "FAIL connected_trace" in said.out
    assert "lost between api and worker" in said.out
    users.target.broken = {"page"}
    said = users.run(test, "-k", "suite")
    said.outcomes(failed=1)
    assert "Inconclusive: inconclusive: small on small" in said.out
    assert users.target.cleaned == users.target.runs


def test_a_job_is_cleaned_up_with_what_sent_it(users: Bench) -> None:
    """With its test, also one that fails; of a module's fixture with the module."""
    said = users.run(
        f"""
        import json, urllib.request
        import pytest
        from validator.pytest_plugin import *

        @pytest.fixture(scope="module")
        def job():
            job_id = submit_job(url="module")
            wait_for_completion(job_id)
            yield job_id
            assert cleaned() == 1

        def cleaned():
            with urllib.request.urlopen("{users.target.url}/cleaned") as answer:
                return json.load(answer)["status"]

        def test_one(job):
            assert cleaned() == 0

        def test_two(job):
            assert get_trace_from_tempo(job_id=job).services
            submit_job(url="own")
            raise ValueError("in the middle")

        def test_three(job):
            assert cleaned() == 1
            assert get_trace_from_tempo(job_id=job).services
        """
    )
    said.outcomes(passed=2, failed=1)
    module, own = users.target.runs
    assert users.target.cleaned == [own, module]


def test_cleaning_up_that_fails_is_told_at_the_end(users: Bench) -> None:
    """The test has passed all the same."""
    users.target.broken = {"cleaning"}
    said = users.run(THREE, "-k", "trace")
    assert said.code == 0
    assert "cleaning up failed" in said.out


def test_ctrl_c_cleans_up(users: Bench) -> None:
    """In the middle of a job that does not end."""
    users.target.broken = {"held"}
    said = users.interrupted(THREE)
    assert said.code == 2, said.out
    assert users.target.cleaned == users.target.runs
    assert len(users.target.runs) == 1


@pytest.mark.req("V-13")
def test_several_processes_share_a_collector_and_need_a_lease_for_metrics(users: Bench) -> None:
    """Each with a collector of its own is refused; samples that may be others' are not judged."""
    said = users.run(THREE, "-n2", "-p", "xdist")
    said.outcomes(failed=3)
    assert "`type: remote_collector`" in said.out
    port = free_port()
    text = CONFIG.format(url=users.target.url, port=port)
    own = f'{{type: collector, http: "127.0.0.1:{port}", grpc: null, lag_budget: 500ms}}'
    assert own in text
    remote = f'{{type: remote_collector, url: "http://127.0.0.1:{port}", lag_budget: 500ms}}'
    users.configure(config=text.replace(own, remote))
    users.target.port = port
    users.ini = "obs_validator_job = url=u\n"
    arguments = ("collector", "--http-port", str(port), "--grpc-port", "0")
    with running(users.folder, "collector", {}, *arguments) as collector:
        collector.wait_for(str(port))
        said = users.run(THREE, "-n2", "-p", "xdist")
    said.outcomes(passed=2, failed=1)
    assert "declares no `lease` by which they would take turns" in said.out
    assert sorted(users.target.cleaned) == sorted(users.target.runs)


def test_no_secret_of_the_configuration_is_in_a_traceback(users: Bench) -> None:
    """Not even where locals are shown."""
    text = CONFIG.format(url=users.target.url, port=users.target.port)
    text = text.replace(
        "        job_id: id", '        headers: {X-Key: "hunter2-secret"}\n        job_id: id'
    )
    assert "hunter2" in text
    users.configure(config=text)
    users.target.broken = {"refuses", "spans"}
    said = users.run(THREE, "--showlocals", "--full-trace", "-vv")
    said.outcomes(failed=3)
    assert "hunter2" not in said.out

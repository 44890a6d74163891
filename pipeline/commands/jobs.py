"""`stuck` and `republish`: jobs that go on no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.common import Addresses, as_json, fail, show, state_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0), default=30.0, show_default=True)
@as_json
@state_dir
def stuck(*, minutes: float, as_json: bool, state_dir: Path) -> None:
    """Show the jobs that have not ended and have not changed for so long."""
    from pipeline import stuck as jobs  # noqa: PLC0415 - heavy

    found = _with_database(state_dir, lambda connection: jobs.found(connection, minutes))
    if as_json:
        click.echo(json.dumps([job.to_json() for job in found], indent=2))
        return
    show(
        ("job", "status", "for", "traffic", "caller", "url"),
        [
            (str(job.id), job.status, _age(job.seconds), job.traffic, job.caller_id, job.url)
            for job in found
        ],
    )


@click.command()
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    help="Seconds.  [default: 30, or 1800 with --stuck]",
)
@click.option("--stuck", "also_stuck", is_flag=True, help="Also what was published and is stuck.")
@click.option("--dry-run", is_flag=True, help="Only say which jobs that would be.")
@state_dir
def republish(
    *, older_than: float | None, also_stuck: bool, dry_run: bool, state_dir: Path
) -> None:
    """Have the orchestrator do what is to be done next to jobs that nobody works on.

    Those are pending ones that the outbox knows nothing of; with --stuck all that have not changed
    for long, as when the broker has lost its data.
    """
    from pipeline import stuck as jobs  # noqa: PLC0415 - heavy

    def work(connection: Connection[Any]) -> list[tuple[str, str]]:
        seconds = jobs.UNPUBLISHED_SECONDS if older_than is None else older_than
        found = jobs.unpublished(connection, seconds)
        if also_stuck:
            minutes = jobs.MINUTES if older_than is None else older_than / 60
            known = {job.id for job in found}
            found += [job for job in jobs.found(connection, minutes) if job.id not in known]
        if dry_run:
            return [(str(job.id), job.status) for job in found]
        return [(str(job.id), jobs.republish(connection, job).value) for job in found]

    done = _with_database(state_dir, work)
    for job_id, what in done:
        click.echo(f"{job_id} {what}")
    click.echo(f"{'would republish' if dry_run else 'republished'}: {len(done)}")


def _with_database(state: Path, work: Callable[[Connection[Any]], Any]) -> Any:
    import psycopg  # noqa: PLC0415 - heavy

    url = Addresses(state).server("PIPELINE_DATABASE_URL", "postgres")
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            return work(connection)
    except psycopg.OperationalError as error:
        fail(f"PostgreSQL cannot be asked: {error}")


def _age(seconds: float) -> str:
    minutes, _ = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"

"""`dlq`: messages that no worker could use.

The environment variables of the services say where things are, or else the state directory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from pipeline.commands.common import Addresses, as_json, fail, show, state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.dead_letters import Kept, Letter, Letters


@click.group()
def dlq() -> None:
    """Look at the dead letters: messages that no worker could use."""


@dlq.command("list")
@as_json
@state_dir
def list_(*, as_json: bool, state_dir: Path) -> None:
    """Show them, of each queue the newest first."""
    with _letters(state_dir) as letters:
        found = list(letters.all())
    if as_json:
        click.echo(json.dumps([kept.to_json() for kept in found], indent=2))
        return
    show(
        ("id", "queue", "reason", "since", "task", "job", "detail"),
        [
            (
                kept.id,
                kept.letter.queue,
                kept.letter.reason.value,
                kept.letter.at[:19],
                kept.letter.task or "",
                kept.letter.job_id or "",
                _first_line(kept.letter),
            )
            for kept in found
        ],
    )


chosen = click.argument("ids", nargs=-1, metavar="[ID]...")
all_ = click.option("--all", "every", is_flag=True, help="All that there are.")


@dlq.command()
@chosen
@all_
@click.option("--force", is_flag=True, help="Also what the worker would refuse once more.")
@state_dir
def replay(*, ids: tuple[str, ...], every: bool, force: bool, state_dir: Path) -> None:
    """Put messages back into the queue that they came from."""
    from pipeline import dead_letters  # noqa: PLC0415 - heavy

    refused = 0
    with _letters(state_dir) as letters:
        for kept in _chosen(letters, ids, every=every):
            try:
                queue = dead_letters.destination(kept, force=force)
            except ValueError as error:
                refused += 1
                click.echo(f"{kept.id} not replayed: {error}", err=True)
                continue
            moved = letters.put_back(kept, queue)
            click.echo(f"{kept.id} {f'replayed to {queue}' if moved else 'is gone'}")
    if refused:
        fail(f"{refused} would be refused once more; --force puts them back all the same")


@dlq.command()
@chosen
@all_
@state_dir
def discard(*, ids: tuple[str, ...], every: bool, state_dir: Path) -> None:
    """Remove messages for good; a job that waited for one fails with `task_discarded`."""
    addresses = Addresses(state_dir)
    with _letters(state_dir) as letters:
        for kept in _chosen(letters, ids, every=every):
            said = _give_up(addresses, kept)
            click.echo(f"{kept.id} {said if letters.discard(kept) else 'is gone'}")


def _give_up(addresses: Addresses, kept: Kept) -> str:
    """Have the job of a letter fail, before the letter is gone; return what came of it."""
    letter = kept.letter
    if letter.job_id is None or letter.stage is None or not _is_id(letter.job_id):
        return "discarded"
    import httpx  # noqa: PLC0415 - heavy

    body = {
        "callback_id": f"dlq:{kept.id}",
        "stage": letter.stage,
        "status": "failed",
        "error_code": "task_discarded",
        "error_message": f"{letter.reason.value}: {_first_line(letter)}",
    }
    url = f"{addresses.orchestrator()}/jobs/{letter.job_id}/complete"
    try:
        answer = httpx.post(
            url, json=body, headers={"X-API-Key": addresses.key()}, timeout=10, trust_env=False
        )
    except httpx.HTTPError as error:
        fail(f"{kept.id} is kept: the orchestrator cannot be told of its job: {error}")
    if answer.status_code == 404:
        _end_enqueued(addresses, letter, body)
        return "discarded; it belongs to no job"
    if answer.status_code not in {200, 409}:
        said = f"{answer.status_code}: {answer.text[:200]}"
        fail(f"{kept.id} is kept: the orchestrator answered {said}")
    ended = answer.is_success and answer.json()["status"] == "advanced"
    return f"discarded; job {letter.job_id} has failed" if ended else "discarded"


def _first_line(letter: Letter) -> str:
    line = next(iter(letter.detail.splitlines()), "")
    return line.encode(errors="replace").decode().replace("\0", "?")


def _is_id(job_id: str) -> bool:
    """Whether a job can have this id: a letter may be anything."""
    try:
        UUID(job_id)
    except ValueError:
        return False
    return True


def _end_enqueued(addresses: Addresses, letter: Letter, body: dict[str, str]) -> None:
    """Tell whoever enqueued the task himself, if it was one of those."""
    from redis import Redis  # noqa: PLC0415 - heavy

    from pipeline.celery_app import SCRAPE_TASK  # noqa: PLC0415 - heavy
    from pipeline.enqueued import Register  # noqa: PLC0415 - heavy

    service = "scraper" if letter.task == SCRAPE_TASK else "embedding-api"
    url = addresses.server("PIPELINE_CACHE_URL", "cache")
    with Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2) as cache:
        result = {key: body[key] for key in ("stage", "error_code", "error_message")}
        Register(cache, service).end(str(letter.job_id), "failed", result)


class _letters:  # noqa: N801 - used as a function
    """Opens the dead letters, and says so where Redis cannot be asked."""

    def __init__(self, state: Path) -> None:
        self._url = Addresses(state).server("PIPELINE_BROKER_URL", "broker")

    def __enter__(self) -> Letters:
        from redis import Redis  # noqa: PLC0415 - heavy

        from pipeline.dead_letters import Letters  # noqa: PLC0415 - heavy

        self._client = Redis.from_url(self._url, socket_timeout=5, socket_connect_timeout=2)
        return Letters(self._client)

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        from redis.exceptions import RedisError  # noqa: PLC0415 - heavy

        self._client.close()
        if isinstance(error, RedisError):
            fail(f"the broker cannot be asked: {error}")


def _chosen(letters: Letters, ids: Sequence[str], *, every: bool) -> Iterator[Kept]:
    """Yield the letters that were asked for; what is moved meanwhile is not looked at twice."""
    if bool(ids) == every:
        raise click.UsageError("give the ids of letters, or --all")
    if every:
        yield from list(letters.all())
        return
    found = {kept.id: kept for kept in letters.all()}
    missing = [name for name in ids if name not in found]
    if missing:
        fail(f"there is no dead letter {missing[0]}: `dlq list` shows those that there are")
    yield from (found[name] for name in ids)

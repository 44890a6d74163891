"""`obs-validator init`: a configuration and a first suite for somebody's own API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--url", help="Where jobs are submitted, such as https://api.example.com/jobs.")
@click.option("--method", default="POST", show_default=True)
@click.option("--body", help='The job as JSON; may hold templates: {"url": "{{ job.url }}"}.')
@click.option("--job-id", help="JMESPath of the job's id in the answer.  [default: id]")
@click.option("--status-url", help="Where to ask for the job; {{ job.id }} stands for its id.")
@click.option("--status", help="JMESPath of the status in that answer.  [default: status]")
@click.option("--done", multiple=True, help="A status that means it went well; may be repeated.")
@click.option("--failed", multiple=True, help="A status that means it failed; may be repeated.")
@click.option("--key-header", default="", help="The header that carries the credential.")
@click.option("--key-variable", default="API_KEY", show_default=True, help="Where the key is.")
@click.option("--clean-up-url", default="", help="What to DELETE after a run.")
@click.option(
    "--service",
    "services",
    multiple=True,
    help="A service.name of the trace, in the job's order; repeat.",
)
@click.option("--metrics", multiple=True, metavar="SERVICE=URL", help="A service's /metrics page.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def init(directory: Path, **options: Any) -> None:
    """Write obs-validator.yaml and suites/first.yaml for your own API into DIRECTORY.

    What is not given as an option is asked for, if there is a terminal to ask at.

    \b
    Example:
      obs-validator init --url http://localhost:8000/jobs --body '{"name": "{{ run.id }}"}' \\
        --status-url 'http://localhost:8000/jobs/{{ job.id }}' --done finished --failed broken \\
        --service api --service worker
    """  # noqa: D301 - click reads \b as such
    from validator.config import environment  # noqa: PLC0415 - heavy
    from validator.init import InitAnswers, write_project  # noqa: PLC0415

    force = options.pop("force")
    pages = [_page(text) for text in options.pop("metrics")]
    asked = _asked(options)
    answers = InitAnswers(**asked, metrics=dict(pages))
    for path in write_project(answers, directory, force=force, environ=environment()):
        click.echo(f"wrote {path}")
    click.echo("next: obs-validator config check, then obs-validator check")


def _page(text: str) -> tuple[str, str]:
    service, equals, url = text.partition("=")
    if not equals or not service or not url:
        raise click.BadParameter(f"`{text}`: write SERVICE=URL", param_hint="--metrics")
    return service, url


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    """Ask for what is not given; without a terminal take what can be done without."""
    terminal = sys.stdin.isatty()
    if not options["url"]:
        if not terminal:
            raise click.UsageError("--url is needed: where are jobs submitted?")
        options["url"] = click.prompt("Where are jobs submitted (URL)")
    questions = {
        "body": ("The job as JSON (empty for none)", ""),
        "job_id": ("Where is the job's id in the answer (JMESPath)", "id"),
        "status_url": (
            "Where can a job be asked for ({{ job.id }} for its id; empty: nowhere)",
            "",
        ),
        "status": ("Where is the status in that answer (JMESPath)", "status"),
    }
    for name, (text, default) in questions.items():
        if options[name] is None:
            options[name] = click.prompt(text, default) if terminal else default
    words = {"done": ("done",), "failed": ("failed",), "services": ()}
    texts = {
        "done": "Statuses that mean it went well",
        "failed": "Statuses that mean it failed",
        "services": "Services (service.name) in the order in which the job goes through them",
    }
    for name, usual in words.items():
        if not options[name] and terminal:
            said = click.prompt(f"{texts[name]}, with spaces between", " ".join(usual))
            options[name] = tuple(said.replace(",", " ").split())
        options[name] = options[name] or usual
    return options

"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from validator.cli import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`|^ {4}[^\n]*$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"(?<![-\w/])obs-validator[ \t]+([a-z][a-z-]*)(?![-.\w=:/])")
_IN_CODE = re.compile(r"```[^\n]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def links(text: str) -> list[str]:
    """Return the relative links of a page, outside of code."""
    every = _LINK.findall(_CODE.sub("", text))
    return [one for one in every if not re.match(r"[a-z]+:", one)]


def anchors(text: str) -> set[str]:
    """Return what the headings of a page can be reached by."""
    titles = re.findall(
        r"^#+ +(.*)$", _CODE.sub(lambda code: code[0].strip("`"), text), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading of it where one is named."""
    missing = []
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        good = target.exists() and target.is_relative_to(ROOT)
        if good and anchor and target.suffix == ".md":
            good = anchor in anchors(target.read_text(encoding="utf-8"))
        missing += [] if good else [link]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_command_that_is_shown_exists(page: Path) -> None:
    """`obs-validator WORD` in code is a command of the command line."""
    code = " ".join(a or b for a, b in _IN_CODE.findall(page.read_text(encoding="utf-8")))
    known = set(cli.commands) | set(cli.list_commands(None))  # type: ignore[arg-type]
    assert set(_COMMAND.findall(code)) <= known

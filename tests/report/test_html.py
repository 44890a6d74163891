"""Promises of the HTML report: one quiet file, readable in a browser, in which evidence is text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.report import samples
from validator.model import Run
from validator.report.html import MOST_LOGS, render

CHROMIUM = next(
    (
        path
        for path in (Path("/usr/bin/chromium"), Path("/usr/bin/chromium-browser"))
        if path.exists()
    ),
    None,
)
ALL = list(samples.RUNS.values())


class Reader(HTMLParser):
    """Collects tags, attributes and ids."""

    def __init__(self, text: str) -> None:
        """Read a whole document."""
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def values(self, name: str) -> list[str]:
        """Return the values of an attribute in order."""
        return [value for key, value in self.attributes if key == name]


@pytest.mark.parametrize("name", sorted(samples.RUNS))
def test_nothing_acts_and_nothing_is_fetched(name: str) -> None:
    """There is no script, no image, no handler, no inline style, no link that leaves the page."""
    reader = Reader(render([samples.RUNS[name]]))
    assert not reader.tags & {"script", "img", "iframe", "link", "object", "form", "base", "b>"}
    names = {key for key, _ in reader.attributes}
    assert not {key for key in names if key.startswith("on")}
    assert not names & {"style", "src", "srcset", "action"}
    assert all(value.startswith("#") for value in reader.values("href"))


def test_links_lead_somewhere() -> None:
    """Every id is there once, and every link has its target."""
    reader = Reader(render(ALL))
    ids = reader.values("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in reader.values("href")} <= set(ids)
    assert set(reader.values("aria-labelledby")) <= set(ids)


def test_the_policy_allows_our_style_alone() -> None:
    """The policy forbids all but the style sheet whose hash it names."""
    text = render([samples.GOOD])
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert f'content="{policy}"' in text
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_what_needs_attention_comes_first() -> None:
    """Failed verdicts stand before passed ones; of several runs those that pass are folded."""
    text = render([samples.GOOD, samples.LOST])
    good, lost = text.split('<section class="run"')[1:]
    assert lost.index(">connected_trace<") < lost.index(">job_outcome<")
    assert '<details class="part">\n  <summary><h3>Trace<' in good
    assert '<details class="part" open>\n  <summary><h3>Traces<' in lost


def test_log_lines_are_in_order_and_capped() -> None:
    """Log lines are sorted by time; of too many the number that is left out is said."""
    line = samples.LOGS[0]
    logs = tuple(replace(line, body=f"line {n}.", time=line.time - n) for n in range(MOST_LOGS + 7))
    text = render([replace(samples.GOOD, evidence=samples.evidence(logs=logs))])
    assert text.index(f"line {MOST_LOGS + 6}.") < text.index(f"line {MOST_LOGS + 5}.")
    assert "7 more log lines are not shown." in text


@pytest.mark.parametrize(
    ("severity", "bad"),
    [
        *((word, True) for word in ("error", "ERROR3", "FATAL", "crit", "Alert", "emergency")),
        *((word, True) for word in ("SEVERE", "panic", "DPANIC")),
        *((word, False) for word in ("WARN2", "warning", "INFO", "notice", "DEBUG", "TRACE", "")),
    ],
)
def test_a_log_line_of_an_error_stands_out(severity: str, bad: bool) -> None:
    """By the names that `severity_at_least: ERROR` of `log_fields` takes for one."""
    logs = (replace(samples.LOGS[0], severity=severity),)
    text = render([replace(samples.GOOD, evidence=samples.evidence(logs=logs))])
    assert ('<li class="bad">' in text) is bad


@dataclass
class Seen:
    """What a browser complained of or asked for while it showed a page."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium, or skip."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium): pages were not shown")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


def shown(browser: Browser, folder: Path, runs: list[Run], width: int = 1440) -> Seen:
    """Show a report in a window of `width` pixels."""
    file = folder / "report.html"
    file.write_text(render(runs), encoding="utf-8")
    seen = Seen(browser.new_page(viewport={"width": width, "height": 900}))
    seen.page.on("console", lambda message: seen.messages.append(message.text))
    seen.page.on("pageerror", lambda error: seen.messages.append(str(error)))
    seen.page.on("dialog", lambda dialog: seen.messages.append(dialog.message))
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.goto(file.as_uri())
    return seen


@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("name", [*sorted(samples.RUNS), "all"])
def test_a_browser_shows_it(browser: Browser, tmp_path: Path, name: str, width: int) -> None:
    """Nothing is complained of or fetched, nothing is wider than the window, even when unfolded."""
    seen = shown(browser, tmp_path, ALL if name == "all" else [samples.RUNS[name]], width)
    for summary in seen.page.locator("details:not([open]) > summary").all():
        if summary.is_visible():
            summary.click()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.messages == []
    assert seen.requests == [(tmp_path / "report.html").as_uri()]
    assert "owned" not in seen.page.title()
    assert seen.page.locator("script").count() == 0
    seen.page.close()


def test_the_failure_is_marked(browser: Browser, tmp_path: Path) -> None:
    """Both sides of the break are marked with the finding's words, and link to its note."""
    page = shown(browser, tmp_path, [samples.LOST]).page
    marked = page.locator("li.marked")
    assert marked.count() == 2
    for number, name in enumerate(("apply_async/scraper.scrape_task", "run/scraper.scrape_task")):
        row = marked.nth(number)
        assert row.is_visible()
        assert name in row.inner_text()
        assert "lost between orchestrator and scraper" in row.inner_text()
    assert "the context was lost here" in page.locator(".gap").inner_text()
    assert "no span of reranker" in page.locator(".ghost").inner_text()
    marked.first.locator("a.badge").click()
    assert page.url.endswith("#f1-1")
    assert page.locator("#f1-1").is_visible()
    page.close()


def test_bars_stand_where_the_time_is(browser: Browser, tmp_path: Path) -> None:
    """The second trace's first bar begins right of where the first trace's last bar ends."""
    page = shown(browser, tmp_path, [samples.LOST]).page
    bars = page.locator("li.marked rect").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    (_, first_end), (second_start, second_end) = bars
    assert first_end < second_start < second_end
    page.close()


def test_a_span_unfolds_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    """A span's attributes are folded, and unfold with the keyboard alone."""
    page = shown(browser, tmp_path, [samples.GOOD]).page
    attributes = page.locator("dl.attributes").first
    assert not attributes.is_visible()
    page.locator(".spans summary").first.focus()
    page.keyboard.press("Enter")
    assert attributes.is_visible()
    assert samples.JOB in attributes.inner_text()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """In light and in dark every text has at least 4.5 to 1 against what is behind it."""
    seen = shown(browser, tmp_path, ALL)
    seen.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    assert seen.page.evaluate(CONTRAST) == []
    seen.page.close()


@pytest.mark.untraced
def test_thousands_of_spans_are_bearable(browser: Browser, tmp_path: Path) -> None:
    """5,000 spans are shown within seconds: as many as are bearable, and how many are not."""
    root = samples.GOOD_SPANS[0]
    spans = tuple(
        replace(root, span_id=f"{n:016x}", parent_id=root.span_id, start=root.start + n)
        for n in range(1, 5000)
    )
    run = replace(samples.GOOD, evidence=samples.evidence(spans=(root, *spans)))
    page = shown(browser, tmp_path, [run]).page
    assert page.locator(".spans > li").count() == 1500
    assert "3500 more spans of this trace are not shown" in page.locator(".cut").inner_text()
    page.close()


CONTRAST = """() => {
  const parse = text => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const light = ([r, g, b]) => {
    const part = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const bad = new Set();
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some(one => one.nodeType === 3 && one.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const pair = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort();
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) bad.add(`${node.className || node.tagName} ${ratio.toFixed(2)}`);
  }
  return [...bad];
}"""

"""How targets stand, without a server: live, late, down, gone, back; and what is remembered."""

from __future__ import annotations

import pytest

from validator.sources.scrapes import Key, Line, Scene, Target, is_current, lines_of, scene_of
from validator.sources.standing import Memory, Standing

NOW = 1_800_000_000.0
EVERY = 10.0


def up(instance: str, last: float, values: str = "111", job: str = "j") -> Line:
    """Return a target's `up`, whose last scrape was `last` seconds ago; 0 for a failed one."""
    count = len(values)
    times = tuple(NOW - last - EVERY * (count - 1 - index) for index in range(count))
    labels = {"job": job, "instance": instance}
    return Line("up", labels, times, tuple(float(value) for value in values))


def names(targets: tuple[Target, ...]) -> list[str]:
    """Return the instances."""
    return sorted(target.instance for target in targets)


def stand(
    memory: Memory,
    *lines: Line,
    now: float = NOW,
    jobs: frozenset[str] = frozenset(),
    present: frozenset[str] = frozenset(),
) -> Standing:
    """Return how the targets stand; `present` are the instances that are still targets."""

    def asked(targets: list[Target]) -> frozenset[Key]:
        return frozenset(target.key for target in targets if target.instance in present)

    return memory.standing(scene_of(lines), jobs, now, asked)


def test_the_oldest_scrape_is_what_an_answer_speaks_of() -> None:
    """`as_of` is the oldest last scrape, `again` when each will have been scraped once more."""
    found = stand(Memory(60), up("a", 2), up("b", 7))
    assert (names(found.live), found.findings(NOW)) == (["a", "b"], [])
    assert found.as_of(None) == NOW - 7
    assert found.again(NOW) == pytest.approx(NOW - 2 + EVERY + 0.02)
    assert found.as_of(5.0) is None  # both are slower than what is waited for


@pytest.mark.parametrize(("last", "again"), [(0.1, 0.5), (4.0, 4.0), (100.0, 15.0)])
def test_an_unknown_interval_is_no_less_than_has_passed(last: float, again: float) -> None:
    """A target that was scraped once is looked at again after as long, within bounds."""
    assert stand(Memory(60), up("a", last, "1")).again(NOW) == pytest.approx(NOW + again)


def test_other_jobs_do_not_matter() -> None:
    """Only the targets of the jobs that have the families count, where any has."""
    lines = (up("a", 2), up("slow", 200, job="other"), up("dead", 3, "000", job="other"))
    found = stand(Memory(60), *lines, jobs=frozenset({"j"}))
    assert found.as_of(None) == NOW - 2
    assert (found.down, found.gone) == ((), ())
    assert names(stand(Memory(60), *lines).down) == ["dead"]


def test_down_targets_hold_nothing_up() -> None:
    """A target that fails is down since its first failure, and not part of `as_of`."""
    found = stand(Memory(60), up("a", 2), up("b", 7, "1100"), up("c", 7, "000"))
    assert (names(found.live), names(found.down)) == (["a"], ["b", "c"])
    assert found.as_of(None) == NOW - 2
    assert found.findings(NOW) == [
        "j at b is down (for 17 s)",
        "j at c is down (for at least 27 s)",
    ]


def test_late_targets_hold_up_and_gone_ones_do_not() -> None:
    """What is still a target is waited for; what was removed is not."""
    lines = (up("a", 2), up("b", 40))
    late = stand(Memory(60), *lines, present=frozenset({"b"}))
    assert (names(late.late), late.as_of(None)) == (["b"], NOW - 40)
    assert late.findings(NOW) == ["j at b was scraped 40 s ago, and is late"]
    gone = stand(Memory(60), *lines)
    assert (names(gone.gone), gone.as_of(None), gone.lost) == (["b"], NOW - 2, ())
    assert gone.findings(NOW) == ["j at b is no target any more since 40 s"]


def test_what_was_live_and_is_gone_is_lost_for_a_while() -> None:
    """As long as a run may wait for it; also when the answer does not reach back to it."""
    memory = Memory(60)
    stand(memory, up("a", 2), up("b", 3))
    assert names(stand(memory, up("a", -28), now=NOW + 30).lost) == ["b"]
    assert names(stand(memory, up("a", -50), now=NOW + 52).lost) == ["b"]
    assert stand(memory, up("a", -60), now=NOW + 62).lost == ()


def test_what_comes_back_is_told_for_a_while() -> None:
    """Its counts may be from before: until a run that began without it is over."""
    memory = Memory(60)
    stand(memory, up("a", 2), up("b", 40))
    back = stand(memory, up("a", -28), up("b", -28), now=NOW + 30)
    assert (names(back.back), back.lost) == (["b"], ())
    assert "was no target for a while" in back.findings(NOW)[0]
    assert stand(memory, up("a", -88), up("b", -88), now=NOW + 90).back == ()


def test_whether_a_target_is_gone_is_asked_once() -> None:
    """A known answer is not asked for again, until the target was scraped once more."""
    memory, asked = Memory(600), []

    def present(targets: list[Target]) -> frozenset[Key]:
        asked.append(names(tuple(targets)))
        return frozenset()

    scene = scene_of([up("a", 2), up("b", 40)])
    for _ in range(3):
        memory.standing(scene, frozenset(), NOW, present)
    assert asked == [["b"]]
    later = scene_of([up("a", -98), up("b", -50)])
    memory.standing(later, frozenset(), NOW + 100, present)
    assert asked == [["b"], ["b"]]


def test_families_are_remembered_by_job() -> None:
    """A job that had a family once is asked for it from then on."""
    memory = Memory(60)
    assert memory.jobs("x") == frozenset()
    assert memory.jobs("x", ["j"]) == memory.jobs("x") == frozenset({"j"})
    assert memory.jobs("x", ["k"]) == frozenset({"j", "k"})


def test_many_targets_are_told_in_few_words() -> None:
    """Five are named, the others counted."""
    found = stand(Memory(60), *(up(f"i{n}", 1, "000") for n in range(9))).findings(NOW)
    assert (len(found), found[-1]) == (6, "… and 4 targets more")


def line(name: str, *ago: float, **labels: str) -> Line:
    """Return a series with samples so many seconds ago."""
    times = tuple(NOW - each for each in ago)
    return Line(name, {"job": "j", "instance": "a", **labels}, times, tuple(1.0 for _ in ago))


@pytest.mark.parametrize(
    ("series", "current"),
    [
        (line("x", 22, 12, 2), True),
        (line("x", 22, 12), False),  # the last scrape did not have it
        (line("x", 17), True),  # it has a time of its own
        (line("x", 400), False),
        (line("x", 1), True),  # it came before its `up` did, as by remote write
    ],
)
def test_series_are_current_when_the_last_scrape_had_them(series: Line, *, current: bool) -> None:
    """By the times of the target's scrapes."""
    scene = scene_of([up("a", 2), series])
    target = scene.target_of(series)
    assert target is not None
    assert is_current(series, target) is current


def test_nothing_of_a_failed_scrape_is_current() -> None:
    """A target that is down has no current series."""
    series = line("x", 22, 12)
    scene = scene_of([up("a", 2, "110"), series])
    target = scene.target_of(series)
    assert target is not None
    assert not is_current(series, target)


def test_targets_are_told_apart_by_all_their_labels() -> None:
    """Two of one job and instance are different by a label that their series carry."""
    ups = [
        Line("up", {"job": "j", "instance": "a", "zone": zone}, (NOW - ago,), (1.0,))
        for zone, ago in (("x", 1.0), ("y", 2.0))
    ]
    scene: Scene = scene_of([*ups, line("m", 1, zone="x"), line("m", 2, zone="y")])
    assert len(scene.targets) == 2
    for zone, ago in (("x", 1.0), ("y", 2.0)):
        target = scene.target_of(line("m", ago, zone=zone, other="z"))
        assert target is not None
        assert target.last == NOW - ago
    assert scene.target_of(line("m", 1, instance="elsewhere")) is None


def test_a_matrix_is_read_by_name_and_labels() -> None:
    """Values are text, and may be NaN or infinite."""
    result = [{"metric": {"__name__": "x", "l": "v"}, "values": [[1.5, "+Inf"], [2.5, "3"]]}]
    assert lines_of(result) == [Line("x", {"l": "v"}, (1.5, 2.5), (float("inf"), 3.0))]

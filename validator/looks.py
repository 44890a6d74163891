"""When a source is looked at next: when a verdict can be decided, within a number of requests."""

from __future__ import annotations

from dataclasses import dataclass

from validator import poll
from validator.channel import Channel
from validator.coverage import Moment, next_moment
from validator.model import Job, Signal
from validator.ports import Searching

OF_THE_JOB = frozenset({Signal.TRACES, Signal.LOGS})
"""What the job leaves while it runs; of the others the state after its end is what counts."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a look is chosen by: the time, and where the run stood when the channel was asked last.

    `timed` is how many looks at which time decides are still to come.
    """

    now: float
    moment: Moment
    skew: float
    timed: int


def next_look(channel: Channel, job: Job, outlook: Outlook) -> float | None:
    """Return when the channel is due next by what is known now, None if nothing is due."""
    now, moment = outlook.now, outlook.moment
    missing = moment.missing
    times = next_moment([channel.asked()], moment)
    if job.ended is not None and channel.lags.exceeds(channel.source.lag_budget):
        # Waited for longer than declared: without a look at that time nobody could say so.
        declared = job.ended + channel.source.lag_budget + outlook.skew
        times = sorted([*times, *([declared] if declared > channel.last_asked else [])])
    quiet = channel.signal not in OF_THE_JOB and job.ended is None
    waits = channel.pushing or quiet or not channel.wanted
    if channel.again is not None and channel.error is None:
        candidates = [] if waits else [_scrape_due(channel, job, now, moment)]
        # What is missing is missing once the lag budget has passed: no scrape is waited for.
        deadline = (job.ended or now) + channel.lag_budget
        times = [deadline] if missing and deadline > channel.last_asked else []
    elif waits and channel.error is None:
        candidates = []
    elif channel.troubled:
        candidates = [now + channel.step]
    elif job.ended is None or channel.signal not in OF_THE_JOB:
        candidates = _while_running(channel, job, now)
    else:
        candidates = _after_end(channel, job.ended, now, outlook.timed)
    return min([*candidates, *times[:1]], default=None)


def _while_running(channel: Channel, job: Job, now: float) -> list[float]:
    """Return when to look next while the job runs: when a verdict is decided, as a rule."""
    if not channel.habit.known or job.existing or channel.signal not in OF_THE_JOB:
        return [now + channel.step]
    began = now if job.submitted is None else job.submitted
    looks = [began + seconds for seconds in channel.habit.running(poll.MOST - 2)]
    ahead = [time for time in looks if time > now + poll.LEAST / 5]
    if not channel.habit.decides(len(channel.decisive)):
        ahead = []
    elif looks and not ahead and not channel.arrived and channel.extra < poll.STRAGGLERS:
        channel.extra += 1
        return [now + poll.STRAGGLER * channel.extra]
    return ahead[:1] or [now + poll.RUNNING_MOST]


def _after_end(channel: Channel, ended: float, now: float, timed: int) -> list[float]:
    """Return when to look next for what comes after the job's end, as long as that may be.

    What is kept back is for the `timed` looks, and one for the case that such a look finds
    something new.
    """
    cost = cost_of(channel)
    kept = timed if cost == 1 else timed + 1  # what takes several requests fails the more easily
    left = max(poll.MOST - channel.spent - kept * cost, poll.FIRST - channel.answers) // cost
    habit, asked = channel.habit, channel.last_asked - ended
    if left <= 0:
        return []
    if habit.known:
        looks = habit.after_end(max(1, left - 1), since=asked if asked > 0 else -1.0)
    else:
        looks = channel.lags.looks()
        if not looks:
            return [now + channel.step]
    ahead = [ended + one for one in looks if ended + one > now + poll.LEAST / 5]
    if ahead:
        return ahead[:1]
    if left > 1 and channel.extra < poll.STRAGGLERS and habit.misses(len(channel.arrived)):
        channel.extra += 1
        return [now + poll.STRAGGLER * channel.extra]
    return []


def _scrape_due(channel: Channel, job: Job, now: float, moment: Moment) -> float:
    """Return when to look again at what is scraped at intervals.

    At the first scrape after the job's end, then at the first after which nothing new for the
    settle time would be known; what is still missing then is looked for ever less often.
    """
    ended, as_of = job.ended or now, channel.as_of or now
    quiet = max(moment.last_new, ended) + moment.settle
    wanted = ended if as_of < ended else quiet if as_of < quiet else now + channel.step
    soonest = max(wanted, now + poll.LEAST)
    return poll.scrape_after(soonest, as_of=as_of, again=channel.again or now)


def cost_of(channel: Channel) -> int:
    """Return how many requests a look takes: where traces are read by their ids, one for each."""
    by_id = isinstance(channel.source, Searching) and channel.signal is Signal.TRACES
    return max(1, len(channel.asked_for)) if by_id else 1

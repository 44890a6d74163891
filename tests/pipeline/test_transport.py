"""The broker's transport, step by step, where the broker goes away in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from kombu.transport.redis import Mutex
from redis.exceptions import ConnectionError as GoneError

from pipeline import celery_app, dead_letters
from pipeline.settings import Settings
from tests.pipeline import servers

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.req("P-09", "P-12")]


def test_an_acknowledgement_that_fails_leaves_room_for_the_next(tmp_path: Path) -> None:
    """A worker whose broker went away in the middle takes the next task once it is back."""
    with servers.redis(tmp_path / "broker") as url:
        app = celery_app.make(Settings("scraper-worker", {"PIPELINE_BROKER_URL": url}))
        connection = app.connection_for_write()
        channel: Any = connection.default_channel
        channel.basic_qos(prefetch_count=1)
        connection.SimpleQueue("scrape").put({})
        message = channel.basic_get("scrape", no_ack=False)
        assert message is not None
        assert not channel.qos.can_consume()
    with pytest.raises(GoneError):
        message.ack()
    assert channel.qos.can_consume()
    app.close()


def test_who_is_killed_while_he_looks_keeps_nobody_from_looking_for_long(tmp_path: Path) -> None:
    """The lock under which tasks of the dead are looked for ends by itself, within ten seconds."""
    with servers.redis(tmp_path / "broker") as url:
        app = celery_app.make(Settings("scraper-worker", {"PIPELINE_BROKER_URL": url}))
        with app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            key = channel.unacked_mutex_key
            with Mutex(channel.client, key, channel.unacked_mutex_expire):
                assert 0 < channel.client.ttl(key) <= 10
        app.close()


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Any]:
    """Return the channel of a scraper's worker."""
    with servers.redis(tmp_path / "broker") as url:
        app = celery_app.make(Settings("scraper-worker", {"PIPELINE_BROKER_URL": url}))
        with app.connection_for_write() as connection:
            yield connection.default_channel
        app.close()


def in_hand(channel: Any, tag: str, item: bytes) -> None:
    """Have the broker hold a message for a worker that is gone."""
    channel.client.hset(channel.unacked_key, tag, b"[" + item + b', "", "scrape"]')
    channel.client.zadd(channel.unacked_index_key, {tag: 1.0})


def held(channel: Any) -> tuple[int, int]:
    """Return how many messages are in hand, and of how many the time is known."""
    client = channel.client
    return client.hlen(channel.unacked_key), client.zcard(channel.unacked_index_key)


def test_what_is_in_hand_goes_back_when_a_worker_ends_in_order(channel: Any) -> None:
    """It is the next to be taken, marked as delivered before, and not counted as lost."""
    connection = channel.connection.client
    queue = connection.SimpleQueue("scrape", channel=channel)
    for number in (1, 2):
        queue.put({"n": number})
    channel.basic_qos(prefetch_count=1)
    taken: list[Any] = []
    with connection.Consumer([queue.queue], on_message=taken.append, channel=channel):
        connection.drain_events(timeout=10)
        assert held(channel) == (1, 1)
        channel.qos.restore_unacked()
        assert held(channel) == (0, 0)
        connection.drain_events(timeout=10)
    assert [one.payload for one in taken] == [{"n": 1}, {"n": 1}]
    assert (taken[1].headers["redelivered"], taken[1].headers["redeliveries"]) == (True, 0)


def test_a_message_that_somebody_else_put_back_is_let_go_of(channel: Any) -> None:
    """What is left of it is the note of its time; nothing comes into a queue."""
    channel.client.zadd(channel.unacked_index_key, {"gone": 1.0})
    channel.qos.restore_by_tag("gone")
    assert held(channel) == (0, 0)
    assert channel.client.llen("scrape") == 0


@pytest.mark.parametrize("item", [b"{", b"[1]", b'{"headers": null}', b'{"n": 1}'])
def test_a_message_in_hand_that_cannot_be_read_becomes_a_dead_letter(
    channel: Any, item: bytes
) -> None:
    """It is kept as it was: putting it back would be for ever."""
    in_hand(channel, "broken", item)
    channel.qos.restore_by_tag("broken")
    assert held(channel) == (0, 0)
    assert channel.client.llen("scrape") == 0
    (kept,) = dead_letters.Letters(channel.client).all()
    letter = kept.letter
    assert (letter.queue, letter.reason) == ("scrape", dead_letters.Reason.UNPARSABLE)
    assert letter.message == item.decode()


def test_who_is_told_of_a_message_that_another_takes_goes_on(channel: Any) -> None:
    """There is none to deliver, and none in hand."""
    assert channel._deliver_next("scrape") is False
    assert held(channel) == (0, 0)


def test_a_visibility_that_is_too_short_is_refused() -> None:
    """Each task would be taken by a second worker while the first one is at it."""
    env = {"PIPELINE_BROKER_URL": "redis://127.0.0.1:1/0", "PIPELINE_VISIBILITY_SECONDS": "0.5"}
    with pytest.raises(LookupError, match=r"PIPELINE_VISIBILITY_SECONDS is 0\.5: it is at least"):
        celery_app.make(Settings("scraper-worker", env))

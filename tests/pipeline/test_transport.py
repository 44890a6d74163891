"""The broker's transport, step by step, where the broker goes away in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kombu.transport.redis import Mutex
from redis.exceptions import ConnectionError as GoneError

from pipeline import celery_app
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


def test_a_visibility_that_is_too_short_is_refused() -> None:
    """Each task would be taken by a second worker while the first one is at it."""
    env = {"PIPELINE_BROKER_URL": "redis://127.0.0.1:1/0", "PIPELINE_VISIBILITY_SECONDS": "0.5"}
    with pytest.raises(LookupError, match=r"PIPELINE_VISIBILITY_SECONDS is 0\.5: it is at least"):
        celery_app.make(Settings("scraper-worker", env))

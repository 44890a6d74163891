"""Taking a synthetic run's tasks out of the queues in which they still wait."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline import mark
from pipeline.celery_app import QUEUES

if TYPE_CHECKING:
    from celery import Celery


def remove_queued(broker: Celery, run_id: str) -> int:
    """Remove the waiting tasks of a run; return how many there were."""
    removed = 0
    with broker.connection_for_write() as connection:
        client: Any = connection.default_channel.client
        for queue in QUEUES.values():
            for message in client.lrange(queue, 0, -1):
                if mark.of_message(json.loads(message)["headers"]).run_id == run_id:
                    removed += client.lrem(queue, 1, message)
    return removed

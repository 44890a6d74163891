"""What an orchestrator does besides answering: the relay, the search for what is lost, gauges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import clients, gauges, jobs, lost, stuck
from pipeline.actions import Actions, Chunker
from pipeline.flow import Flow
from pipeline.periodic import Periodic
from pipeline.relay import THREADS, Relay

if TYPE_CHECKING:
    from celery import Celery
    from psycopg_pool import ConnectionPool
    from redis import Redis

    from pipeline.settings import Settings
    from pipeline.web import Web


def begin(base: Web, broker: Celery, pool: ConnectionPool) -> Flow:
    """Begin all of it, and end it with the service; return how jobs go on."""
    service = base.service
    settings, metrics = service.settings, service.metrics
    relay = Relay(clients.database(settings, THREADS), metrics)
    flow = Flow(settings, metrics, jobs.JobStore(pool), relay.wake)
    chunker = Chunker(service.internal, settings.url("chunking"))
    relay.start(Actions(broker, chunker, flow).of)
    client = clients.broker(settings)
    seconds = settings.number("PIPELINE_LOST_SECONDS", stuck.UNPUBLISHED_SECONDS)
    search = Periodic("lost", seconds / 3, lambda: search_once(settings, pool, client))
    minutes = settings.number("PIPELINE_STUCK_MINUTES", stuck.MINUTES)
    seen = gauges.Gauges(gauges.of_broker(client), gauges.of_database(pool, minutes))
    metrics.registry.register(seen)
    base.closing[:0] = [relay.stop, search.stop, seen.close, client.close]
    return flow


def search_once(settings: Settings, pool: ConnectionPool, client: Redis) -> None:
    """Have done what nobody does: jobs without a row in the outbox, tasks that are nowhere."""
    seconds = settings.number("PIPELINE_LOST_SECONDS", stuck.UNPUBLISHED_SECONDS)
    with pool.connection() as connection:
        for job in stuck.unpublished(connection, seconds):
            stuck.republish(connection, job)
        lost.republish(connection, client, seconds)

"""The broker's transport: at every moment a message is in its queue, in hand, or a dead letter.

Kombu's own takes a message from the queue first and notes afterwards that it has it: who is killed
in between has lost it, and so has who meets a server that is full. It ends on a message that is
none, and forgets what a worker rejects. Here each step from one place to the next is one script.
"""

# mypy: disallow-untyped-calls=False
# Kombu annotates its modules, but not these methods.

from __future__ import annotations

import json
import select
import time
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from kombu.transport import redis as stock
from kombu.transport import virtual
from kombu.utils.json import loads
from redis.exceptions import OutOfMemoryError

from pipeline import dead_letters
from pipeline.dead_letters import Letter, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_REDELIVERIES: Final = 10
"""How often a message may be lost together with its worker: it may well be what ends them."""
_COUNT: Final = "redeliveries"
_PAUSE: Final = 0.05

# A full server refuses commands that need memory, and all of a transaction; but it lets a script go
# on that has begun to write.
_TAKE: Final = """\
local item = redis.call('RPOP', KEYS[1])
if not item then return false end
redis.call('HSET', KEYS[2], ARGV[1], '[' .. item .. ', "", ' .. ARGV[2] .. ']')
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
return item"""
_MOVE: Final = """\
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call(ARGV[3], KEYS[3], ARGV[2])
return 1"""

_DONE: Final = """\
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])"""


@dataclass(frozen=True, slots=True)
class Fate:
    """What is to become of a message that is rejected: why it is dead, if not requeued.

    One that is requeued is put back at once, counted if it was `lost` with its worker; or it is
    left in hand, so that it comes back when the visibility timeout is over.
    """

    reason: Reason = Reason.INVALID
    detail: str = ""
    lost: bool = False
    later: bool = False


class QoS(stock.QoS):
    """What is in hand, and where it goes from there."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message; the broker knows already that it is in hand."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Let go of a message for good.

        Where the broker is away it comes back when its time is over; kept in mind here, it would
        be the one message that this worker may have, and it would take no other.
        """
        try:
            self.channel.done(keys=[self.unacked_key, self.unacked_index_key], args=[delivery_tag])
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Put a message back, or make it a dead letter."""
        message = self._delivered[delivery_tag]
        fate: Fate = getattr(message, "fate", Fate())
        try:
            if not requeue:
                self.bury(delivery_tag, _queue_of(message), fate, _rendered(message._raw))  # noqa: SLF001
            elif not fate.later:
                self.restore_by_tag(delivery_tag, leftmost=True, lost=fate.lost)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def bury(self, tag: str, queue: str, fate: Fate, message: bytes) -> None:
        """Make a message in hand a dead letter, unless it was taken from us meanwhile."""
        letter = dead_letters.made(queue, fate.reason, fate.detail, message)
        if self._moved(tag, dead_letters.LISTS[queue], letter.to_item(), "LPUSH"):
            self.channel.on_buried(letter)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back what is in hand when a worker ends in order."""
        for tag in self._delivered:
            self.restore_by_tag(tag, client=client, lost=False)
        self._delivered.clear()

    def restore_visible(self, *args: Any, **named: Any) -> None:
        """Put back what others have had in hand for too long; a full server has to wait."""
        with suppress(OutOfMemoryError):
            super().restore_visible(*args, **named)

    def restore_by_tag(
        self, tag: Any, client: Any = None, leftmost: bool = False, *, lost: bool = True
    ) -> None:
        """Put back a message, by its tag; one that was lost too often becomes a dead letter."""
        with self.channel.conn_or_acquire(client) as known:
            value = known.hget(self.unacked_key, tag)
            if value is None:
                known.zrem(self.unacked_index_key, tag)
                return
        item, queue = _unwrapped(value)
        try:
            payload = json.loads(item)
            times = int(payload["headers"].get(_COUNT, 0)) + lost
            payload["headers"].update({"redelivered": True, _COUNT: times})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self.bury(tag, queue, Fate(Reason.UNPARSABLE, repr(error)), item)
            return
        if times > MOST_REDELIVERIES:
            said = f"lost with its worker {times} times: it may be what ends them"
            self.bury(tag, queue, Fate(Reason.REDELIVERED, said), _rendered(payload))
            return
        self._moved(tag, queue, json.dumps(payload).encode(), "LPUSH" if leftmost else "RPUSH")

    def _moved(self, tag: Any, to: str, item: bytes, command: str) -> bool:
        keys = [self.unacked_key, self.unacked_index_key, to]
        return bool(self.channel.move(keys=keys, args=[tag, item, command]))


class Channel(stock.Channel):
    """Takes messages from the one queue of a worker."""

    QoS = QoS
    from_transport_options: Any = (*stock.Channel.from_transport_options, "on_buried")
    _in_poll: Any
    _brpop_sent_at: Any
    on_buried: Callable[[Letter], None] = staticmethod(lambda _letter: None)

    def __init__(self, *args: Any, **named: Any) -> None:
        """Connect; what is done with messages in hand works also once the channel is closed."""
        super().__init__(*args, **named)
        client = self._create_client()
        self._take = client.register_script(_TAKE)
        self.move = client.register_script(_MOVE)
        self.done = client.register_script(_DONE)

    def _size(self, queue: str) -> int:
        """Return how many messages wait, without a transaction that a full server would refuse."""
        with self.conn_or_acquire() as client:
            return int(client.llen(queue))

    def _queue_bind(self, *args: Any) -> None:
        """Bind a queue; by a full server it is not noted, which a direct queue does without."""
        with suppress(OutOfMemoryError):
            super()._queue_bind(*args)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask to be told as soon as there is a message, without taking it from its place."""
        queues = self._queue_cycle.consume(1)
        if not queues:
            return
        (queue,) = queues
        self._in_poll = self.client.connection
        self._brpop_sent_at = time.monotonic()
        seconds = self.brpop_timeout if timeout is None else timeout
        self.client.connection.send_command("BLMOVE", queue, queue, "RIGHT", "RIGHT", seconds)

    def _brpop_read(self, **options: Any) -> bool:
        """Take the message that we were told of, unless somebody else was faster."""
        try:
            told = self._told(**options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        (queue,) = self._queue_cycle.consume(1) or ("",)
        if told and queue and not self._closing and self._deliver_next(queue):
            return True
        raise Empty

    def _told(self, **options: Any) -> bool:
        try:
            reply = self.client.parse_response(self.client.connection, "BLMOVE", **options)
        except OutOfMemoryError:
            # A full server does not wait for a message. Taking one is what makes room.
            select.select([], [], [], _PAUSE)
            return True
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        return reply is not None

    def _deliver_next(self, queue: str) -> bool:
        tag = str(uuid4())
        keys = [queue, self.unacked_key, self.unacked_index_key]
        item = self._take(keys=keys, args=[tag, json.dumps(queue), time.time()])
        if item is None:
            return False
        try:
            payload = loads(item.decode())
            properties = payload["properties"]
            properties["delivery_tag"] = tag
            properties["delivery_info"] = {"exchange": "", "routing_key": queue}
            self.Message(payload, channel=self)
        except Exception as error:  # noqa: BLE001 - whatever was put there, it must not end us
            self.qos.bury(tag, queue, Fate(Reason.UNPARSABLE, repr(error)), item)
            return True
        self.connection._deliver(payload, queue)  # noqa: SLF001 - as kombu's own channel does
        return True


class Transport(stock.Transport):
    """Redis, with that channel."""

    Channel = Channel


def _queue_of(message: Any) -> str:
    return str(message.delivery_info["routing_key"])


def _unwrapped(value: bytes) -> tuple[bytes, str]:
    """Return the message in hand and its queue; the message need not be one that can be read."""
    item, _, queue = value[1:-1].rpartition(b', "", ')
    return item, str(json.loads(queue))


def _rendered(payload: Any) -> bytes:
    """Return a message as it was before it was lost and found."""
    headers = payload.get("headers") or {}
    kept = {key: value for key, value in headers.items() if key != _COUNT}
    return json.dumps({**payload, "headers": kept}).encode()

"""Around the endpoints: bodies that are too large, errors that say where, from where one calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from pipeline import api, edge, metrics, visit
from pipeline.peers import Peers
from pipeline.settings import Settings
from pipeline.testing import poll_until
from tests.pipeline.local import served

pytestmark = pytest.mark.req("P-03")

MOST = 1000


class Body(BaseModel):
    """What the endpoint takes."""

    number: int
    text: api.Text = ""


def _application() -> FastAPI:
    app = FastAPI(max_body_size=MOST)
    edge.plain_errors(app)
    app.add_middleware(edge.AccessLog, metrics=metrics.build(Settings("test", {})))

    @app.post("/numbers")
    def take(body: Body) -> dict[str, int]:
        return {"number": body.number}

    @app.get("/numbers")
    def tell() -> dict[str, int]:
        return {"number": 1}

    @app.post("/limited")
    def limited() -> None:
        own = visit.current()
        assert own is not None
        own.limited, own.headers["X-RateLimit-Remaining"] = True, "0"
        raise HTTPException(429, "too many")

    return app


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Return a client of the application, whose requests are visits."""
    app = _application()

    async def visited(scope: Scope, receive: Receive, send: Send) -> None:
        with visit.begin("192.0.2.7"):
            await app(scope, receive, send)

    with served(visited) as url, httpx.Client(base_url=url, trust_env=False) as found:
        yield found


def test_a_body_within_the_limit_is_taken(client: httpx.Client) -> None:
    """Exactly the limit is not too large."""
    body = json.dumps({"number": 1, "text": ""})
    whole = json.dumps({"number": 1, "text": "x" * (MOST - len(body))})
    assert len(whole) == MOST
    answer = client.post("/numbers", content=whole, headers={"Content-Type": "application/json"})
    assert answer.json() == {"number": 1}


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_413(client: httpx.Client, announced: bool) -> None:
    """By what it announces, and by what is read of one that announces nothing."""
    parts = [b"x" * 500] * 3
    content: Any = b"".join(parts) if announced else iter(parts)
    answer = client.post("/numbers", content=content)
    assert (answer.status_code, "Content Too Large" in answer.text) == (413, True)


def test_a_misfit_is_told_by_its_place_and_not_repeated(client: httpx.Client) -> None:
    """The answer says where and why, and has nothing of the input in it."""
    answer = client.post("/numbers", json={"number": "secret", "text": 7})
    assert answer.status_code == 422
    assert [one["loc"] for one in answer.json()["detail"]] == [["body", "number"], ["body", "text"]]
    assert "secret" not in answer.text
    assert set(answer.json()["detail"][0]) == {"loc", "msg", "type"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"number": NaN}', 422),
        (b'{"number": 1e999}', 422),
        (b'{"number": 1, "text": "\\ud800"}', 422),
        (b'{"number": 1, "text": "\\u0000"}', 422),
        (b'{"number": 1, "text": "\xff\xfe"}', 400),
        (b"[" * 900, 422),
        (b'{"a":' * 190, 422),
        (b"", 422),
        (b"null", 422),
        (b"\x00", 422),
    ],
)
def test_what_is_no_body_is_refused(client: httpx.Client, body: bytes, status: int) -> None:
    """Nothing that is sent makes an error of ours."""
    answer = client.post("/numbers", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, "detail" in answer.json()) == (status, True)


def test_deep_json_is_refused() -> None:
    """Ten thousand levels are more than the parser goes down, and that is the sender's fault."""
    app = FastAPI()

    @app.post("/any")
    def take(body: dict[str, Any]) -> None:
        """Take anything."""

    with served(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        body = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
        answer = client.post("/any", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_errors_are_listed_up_to_twenty() -> None:
    """A body with a thousand faults is not answered with a thousand."""
    app = FastAPI()
    edge.plain_errors(app)

    @app.post("/lists")
    def take(body: list[int]) -> None:
        """Take numbers."""

    with served(app) as url, httpx.Client(base_url=url, trust_env=False) as other:
        answer = other.post("/lists", json=["x"] * 1000)
    assert len(answer.json()["detail"]) == 20


def test_the_access_log_has_nginx_shape(client: httpx.Client) -> None:
    """A line for each call with an effect and each refusal, with the fields of nginx's log."""
    with capture_logs() as lines:
        client.post("/numbers", json={"number": 1})
        client.get("/numbers")
        client.get("/nowhere")
        answer = client.post("/limited")
        # Its line is written once the answer has been sent.
        poll_until(lambda: [one for one in lines if one.get("status") == 429], "the last line")
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    found = [line for line in lines if line["event"] == "access"]
    assert [(one["uri"], one["status"], one["limit_req_status"]) for one in found] == [
        ("/numbers", 200, "PASSED"),
        ("/nowhere", 404, "PASSED"),
        ("/limited", 429, "REJECTED"),
    ]
    assert found[0]["remote_addr"] == "192.0.2.7"
    assert found[0]["request_method"] == "POST"
    assert found[0]["body_bytes_sent"] == len('{"number":1}')
    assert found[0]["request_time"] > 0


@pytest.mark.req("P-04")
@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("192.168.0.9", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1", True),
        ("203.0.113.9", False),
        ("::ffff:203.0.113.9", False),
        ("2001:db8::1", False),
        ("169.254.169.254", False),
        ("", False),
        ("testclient", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_inside_is_by_network(address: str, inside: bool) -> None:
    """Our own networks are inside; everything else, and what is no address, is not."""
    peers = Peers(Settings("orchestrator", {}))
    assert peers.internal(address) is inside
    with visit.begin(address):
        if inside:
            peers.check()
            return
        with pytest.raises(HTTPException) as error:
            peers.check()
    assert error.value.status_code == 403


@pytest.mark.req("P-04")
def test_networks_are_settings() -> None:
    """What is inside can be named; what is no network is told at the start."""
    own = Peers(Settings("orchestrator", {"PIPELINE_INTERNAL_NETWORKS": "203.0.113.0/24, ::1"}))
    assert own.internal("203.0.113.9")
    assert not own.internal("127.0.0.1")
    with pytest.raises(LookupError, match=r"PIPELINE_INTERNAL_NETWORKS.*10.0.0.0/8"):
        Peers(Settings("orchestrator", {"PIPELINE_INTERNAL_NETWORKS": "here"}))

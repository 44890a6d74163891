"""A service that is called as its OpenAPI document says, and whose answers are held to it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import jsonschema

if TYPE_CHECKING:
    import httpx

    from pipeline.testing import RunningPipeline


class Contract:
    """One service: every answer has to be documented, and its body to fit the schema."""

    def __init__(self, pipeline: RunningPipeline, service: str) -> None:
        """Read the document that the service publishes."""
        self._client = pipeline.client
        self._url = pipeline.url(service)
        self.document: dict[str, Any] = self._client.get(f"{self._url}/openapi.json").json()

    def call(
        self, method: str, template: str, path: str = "", key: str | None = None, **request: Any
    ) -> httpx.Response:
        """Call an endpoint, known by its template, and hold the answer to the document."""
        headers = {**request.pop("headers", {}), **({"X-API-Key": key} if key else {})}
        url = f"{self._url}{path or template}"
        answer = self._client.request(method, url, headers=headers, **request)
        documented = self.document["paths"][template][method.lower()]["responses"]
        assert str(answer.status_code) in documented, (answer.status_code, answer.text[:300])
        content = documented[str(answer.status_code)].get("content", {})
        media = answer.headers["content-type"].partition(";")[0]
        schema = content.get(media, {}).get("schema")
        assert schema, f"{method} {template} {answer.status_code} {media} has no schema"
        whole = {**schema, "components": self.document["components"]}
        body = answer.json() if media == "application/json" else answer.text
        jsonschema.validate(body, whole, jsonschema.Draft202012Validator)
        return answer


def new_key(pipeline: RunningPipeline, **caller: Any) -> str:
    """Have Membership know a caller of its own for a test; return the key."""
    key = secrets.token_hex(16)
    known = {"caller_id": f"caller-{key[:8]}", "role": "user", "may_mark": False, **caller}
    url = f"{pipeline.url('membership')}/keys"
    pipeline.client.post(url, json={"key": key, **known}).raise_for_status()
    return key


def revoke(pipeline: RunningPipeline, key: str) -> None:
    """Have Membership forget a key."""
    url = f"{pipeline.url('membership')}/keys"
    pipeline.client.request("DELETE", url, json={"key": key}).raise_for_status()

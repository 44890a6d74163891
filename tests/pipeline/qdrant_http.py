"""A Qdrant server as far as the store needs one: its REST interface over the local Qdrant.

Bodies are read with the client's own models of them, which refuse what the interface does not have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from qdrant_client import QdrantClient
from qdrant_client.http import models
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_COMPLETED = {"operation_id": 0, "status": "completed"}


class Server:
    """Answers as a server does; what it was asked to index is remembered."""

    def __init__(self) -> None:
        """Begin without collections."""
        self.client = QdrantClient(":memory:")
        self.indexes: set[tuple[str, str]] = set()
        self.status = "completed"
        self.hidden = False

    def app(self) -> Starlette:
        """Return the application to serve."""
        name = "/collections/{name}"
        return Starlette(
            routes=[
                Route("/", self._root),
                Route(f"{name}/exists", self._exists),
                Route(name, self._create, methods=["PUT"]),
                Route(f"{name}/index", self._index, methods=["PUT"]),
                Route(f"{name}/points", self._of(models.PointsList, self._upsert), methods=["PUT"]),
                Route(
                    f"{name}/points",
                    self._of(models.PointRequest, self._retrieve),
                    methods=["POST"],
                ),
                Route(
                    f"{name}/points/payload",
                    self._of(models.SetPayload, self._set),
                    methods=["POST"],
                ),
                Route(f"{name}/points/delete", self._delete, methods=["POST"]),
                Route(
                    f"{name}/points/query",
                    self._of(models.QueryRequest, self._query),
                    methods=["POST"],
                ),
                Route(
                    f"{name}/points/scroll",
                    self._of(models.ScrollRequest, self._scroll),
                    methods=["POST"],
                ),
                Route(
                    f"{name}/points/count",
                    self._of(models.CountRequest, self._count),
                    methods=["POST"],
                ),
                Route(
                    f"{name}/facet", self._of(models.FacetRequest, self._facet), methods=["POST"]
                ),
            ]
        )

    def _of(
        self, model: type[BaseModel], answer: Callable[[str, Any], Any]
    ) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def handle(request: Request) -> JSONResponse:
            body = model.model_validate_json(await request.body())
            return _result(answer(request.path_params["name"], body))

        return handle

    async def _root(self, _request: Request) -> JSONResponse:
        return JSONResponse({"title": "qdrant", "version": "1.20.0", "commit": None})

    async def _exists(self, request: Request) -> JSONResponse:
        exists = self.client.collection_exists(request.path_params["name"])
        return _result({"exists": exists and not self.hidden})

    async def _create(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        body = models.CreateCollection.model_validate_json(await request.body())
        if self.client.collection_exists(name):
            return JSONResponse({"status": {"error": f"`{name}` already exists"}}, 409)
        return _result(self.client.create_collection(name, body.vectors))

    async def _index(self, request: Request) -> JSONResponse:
        body = models.CreateFieldIndex.model_validate_json(await request.body())
        self.indexes.add((request.path_params["name"], body.field_name))
        return _result(_COMPLETED)

    def _upsert(self, name: str, body: models.PointsList) -> Any:
        self.client.upsert(name, body.points, update_mode=body.update_mode)
        return {**_COMPLETED, "status": self.status}

    def _retrieve(self, name: str, body: models.PointRequest) -> Any:
        return self.client.retrieve(name, body.ids)

    def _set(self, name: str, body: models.SetPayload) -> Any:
        assert body.filter
        self.client.set_payload(name, body.payload, points=body.filter)
        return {**_COMPLETED, "status": self.status}

    async def _delete(self, request: Request) -> JSONResponse:
        text = await request.body()
        model = models.FilterSelector if b'"filter"' in text else models.PointIdsList
        self.client.delete(request.path_params["name"], model.model_validate_json(text))
        return _result(_COMPLETED)

    def _query(self, name: str, body: models.QueryRequest) -> Any:
        query: Any = body.query
        found = self.client.query_points(
            name, query, query_filter=body.filter, limit=body.limit or 10
        )
        return {"points": found.points}

    def _scroll(self, name: str, body: models.ScrollRequest) -> Any:
        points, after = self.client.scroll(name, body.filter, limit=body.limit or 10)
        return {"points": points, "next_page_offset": after}

    def _count(self, name: str, body: models.CountRequest) -> Any:
        return {"count": self.client.count(name, body.filter).count}

    def _facet(self, name: str, body: models.FacetRequest) -> Any:
        return self.client.facet(name, body.key, body.filter, limit=body.limit or 10)


def _result(found: Any) -> JSONResponse:
    def plain(one: Any) -> Any:
        if isinstance(one, BaseModel):
            return one.model_dump(mode="json")
        if isinstance(one, dict):
            return {key: plain(value) for key, value in one.items()}
        return [plain(value) for value in one] if isinstance(one, list) else one

    return JSONResponse({"result": plain(found), "status": "ok", "time": 0.0})

"""Which vector store a process works with: PIPELINE_VECTOR_STORE says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline import clients
from pipeline.vectors.postgres import PgVectorStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg_pool import ConnectionPool

    from pipeline.settings import Settings
    from pipeline.vectors import VectorStore

_SECONDS: Final = 5
"""How long Qdrant may take for one request."""


def open_store(settings: Settings, pool: ConnectionPool | None = None) -> VectorStore:
    """Return the store that the settings name; PostgreSQL by the pool, where there is one."""
    name = settings.env.get("PIPELINE_VECTOR_STORE") or "pgvector"
    if name not in _STORES:
        raise LookupError(f"PIPELINE_VECTOR_STORE is {name!r}: it is {' or '.join(_STORES)}")
    return _STORES[name](settings, pool)


def _pgvector(settings: Settings, pool: ConnectionPool | None) -> VectorStore:
    if pool is not None:
        return PgVectorStore(pool)
    return PgVectorStore(clients.database(settings), owned=True)


def _qdrant(settings: Settings, _pool: ConnectionPool | None) -> VectorStore:
    url = settings.need("PIPELINE_QDRANT_URL")
    if not url.startswith(("http://", "https://")):
        raise LookupError(f"PIPELINE_QDRANT_URL is {url!r}: it begins with http:// or https://")
    try:
        from qdrant_client import QdrantClient  # noqa: PLC0415 - takes a second, and is optional

        from pipeline.vectors.qdrant import QdrantVectorStore  # noqa: PLC0415 - likewise
    except ModuleNotFoundError as error:
        raise LookupError(
            "PIPELINE_VECTOR_STORE is 'qdrant': pip install 'obs-validator[qdrant]'"
        ) from error
    client = QdrantClient(
        url=url,
        api_key=settings.env.get("PIPELINE_QDRANT_KEY") or None,
        timeout=_SECONDS,
        check_compatibility=False,  # the store looks at the version itself
        trust_env=False,
    )
    return QdrantVectorStore(client)


_STORES: Final[dict[str, Callable[[Settings, ConnectionPool | None], VectorStore]]] = {
    "pgvector": _pgvector,
    "qdrant": _qdrant,
}

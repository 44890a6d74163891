"""What every source is, beside what it answers."""

from __future__ import annotations

from validator.sources.http import Http


class SourceBase:
    """A source with its name, its type and its lag budget, that asks through one client."""

    kind: str
    """The type in the configuration, such as `tempo`."""

    def __init__(self, name: str, http: Http, lag_budget: float) -> None:
        """Call the source `name`; what happened `lag_budget` seconds ago is readable there."""
        self._name = name
        self._http = http
        self._lag_budget = lag_budget

    @property
    def name(self) -> str:
        """Return the name in the configuration."""
        return self._name

    @property
    def lag_budget(self) -> float:
        """Return the declared ingest lag in seconds."""
        return self._lag_budget

    def close(self) -> None:
        """End what is being asked and let go of the connections."""
        self._http.close()

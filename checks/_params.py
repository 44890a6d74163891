"""What every check's parameters have in common."""

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Parameters of a check: frozen, and an unknown key is an error.

    Strings may hold templates (`{{ job.id }}`); they are rendered before a check sees them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)

"""Why a document's vectors could not be made or kept: the codes that its job fails with."""

from __future__ import annotations

from typing import ClassVar


class EmbedError(Exception):
    """The root: `permanent` where another attempt would end no better."""

    code: ClassVar[str]
    permanent: ClassVar[bool] = False

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        """Tell what was the matter, and before how many seconds another attempt is of no use."""
        super().__init__(message)
        self.retry_after = retry_after


class InferenceUnavailableError(EmbedError):
    """The inference server cannot be reached, answers with an error, or is left alone."""

    code = "inference_unavailable"


class InferenceInvalidError(EmbedError):
    """The inference server's answer is not what was asked for; the next one may be."""

    code = "inference_invalid"


class InferenceRefusedError(EmbedError):
    """The inference server will not have these texts, however often it is asked."""

    code = "inference_refused"
    permanent = True


class UnfitTextError(EmbedError):
    """A text is not one that can be embedded and stored: too long, or not text."""

    code = "chunk_unfit"
    permanent = True


class StoreUnavailableError(EmbedError):
    """The vector store cannot be reached, or answers with an error."""

    code = "vector_store_unavailable"


class WriteConflictError(StoreUnavailableError):
    """Another write of the same document came between: none of this one can be seen."""

"""What can go wrong when a model is asked, and what a failed call may have cost.

Each message names the endpoint, the model and the way out; none holds a key.
"""

from __future__ import annotations

from typing import ClassVar

from meritree.errors import BadInput, MeritreeError
from meritree.respond.data import Usage


class ModelError(MeritreeError):
    """A model was asked and gave no usable reply.

    Attributes:
        usage: tokens that the endpoint says it counted for the failed call, None if untold.
        may_be_billed: the endpoint may have worked (and bill) without telling: the call is paid
            at its upper bound.
        retry_after: seconds that the endpoint asked to wait, None if it did not.
        retryable: the same request may succeed later.
        most_retries: no more than this many, however patient we are: such failures are paid.
    """

    retryable: ClassVar[bool] = False
    most_retries: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        *,
        usage: Usage | None = None,
        may_be_billed: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.usage = usage
        self.may_be_billed = may_be_billed
        self.retry_after = retry_after


class EndpointDown(ModelError):
    """Nobody answers at the address."""

    retryable = True


class Overloaded(ModelError):
    """The endpoint refuses for now (429) or failed itself (5xx)."""

    retryable = True


class TimedOut(ModelError):
    """No whole reply within the time."""

    retryable = True


class BrokenReply(ModelError):
    """Half a stream, no JSON, or JSON of another shape."""

    retryable = True
    most_retries = 3


class EmptyReply(ModelError):
    """A well-formed reply with neither text nor tool calls."""

    retryable = True
    most_retries = 1


class OutOfTokens(EmptyReply):
    """All of ``max_tokens`` went into thoughts before anything was said."""

    retryable = False


class ReplyTooLong(ModelError):
    """A reply beyond any sensible size, such as a model that repeats itself."""


class Rejected(ModelError):
    """The endpoint will not do it, however often it is asked (other 4xx)."""

    exit_code = 2


class WrongKey(Rejected):
    """The key is missing, wrong, or not allowed to use this model."""


class UnknownModel(Rejected):
    """The endpoint has no such model (or no such path)."""


class NoToolCalls(Rejected):
    """The model has no tool calls of its own; `TextTools` gives it some."""


class PromptTooLong(Rejected):
    """The conversation does not fit into the model's context."""

    exit_code = 1


class ScriptEnded(ModelError):
    """A scripted model was asked more often than its script is long."""


class NotRecorded(ModelError):
    """A strict replay was asked something that its recording does not hold."""

    exit_code = 2


class Offline(BadInput):
    """``MERITREE_OFFLINE=1`` forbids every address but loopback."""

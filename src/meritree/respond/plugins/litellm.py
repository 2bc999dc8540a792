"""A model through LiteLLM (``pip install litellm``, not among our dependencies).

LiteLLM answers in OpenAI's shape; it reads keys from the environment by its own rules.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from meritree.errors import MeritreeError
from meritree.respond.data import Reply, Request
from meritree.respond.errors import BrokenReply
from meritree.respond.model import DEFAULT_MAX_TOKENS, Patience
from meritree.respond.offline import guard, is_offline
from meritree.respond.plugins._shared import bound, completed, foreign_error
from meritree.respond.prices import Price, Prices, packaged_prices
from meritree.respond.retry import with_retries
from meritree.respond.wire import Dialect, WireError, decode_reply, encode_request
from meritree.run.ledger import Spending


class LiteLLMModel:
    """See the module. An `Endpoint`: each attempt is paid on its own.

    Args:
        name: as LiteLLM knows it, such as ``anthropic/claude-...``.
        library: what has a ``completion`` function; None imports LiteLLM.
        timeout: seconds for a whole reply.
        patience: when to try again (LiteLLM's own retries are off).
        max_tokens: the longest reply where a request does not say.
        prices: where to look up what tokens cost.

    Raises:
        MeritreeError: LiteLLM is not installed.
    """

    def __init__(
        self,
        name: str,
        *,
        library: Any = None,
        timeout: float = 600.0,
        patience: Patience | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        prices: Prices | None = None,
    ) -> None:
        self.name = name
        self.patience = patience or Patience()
        self.price: Price | None = (packaged_prices() if prices is None else prices).find(name)
        self._library = _import() if library is None else library
        self._timeout = timeout
        self._max_tokens = max_tokens

    def ask(self, request: Request) -> Reply:
        """The reply, with retries.

        Raises:
            ModelError: there is none.
        """
        return with_retries(lambda: self.attempt(request), self.patience)

    def recall(self, request: Request) -> Reply | None:
        """None: nothing is recorded at LiteLLM's boundary."""
        return None

    def attempt(self, request: Request) -> Reply:
        """One attempt.

        Raises:
            ModelError: it failed.
        """
        if is_offline():
            guard()
        written = request.max_tokens or self._max_tokens
        seconds = min(self._timeout, request.timeout or math.inf)
        asked = replace(request, max_tokens=written, timeout=None)
        body = encode_request(asked, self.name, Dialect(), stream=False)
        try:
            response = self._library.completion(**body, timeout=seconds, num_retries=0)
        # A boundary: LiteLLM raises whatever its many providers' libraries raise.
        except Exception as error:  # noqa: BLE001
            failure = foreign_error(error, "LiteLLM", self.name)
        else:
            return self._read(request, response)
        raise failure

    def upper_bound(self, request: Request) -> Spending:
        """The most that one attempt can cost."""
        return bound(request, self.price, self._timeout, self._max_tokens)

    def _read(self, request: Request, response: Any) -> Reply:
        document = response.model_dump() if hasattr(response, "model_dump") else response
        try:
            reply = decode_reply(document)
        except WireError as error:
            raise BrokenReply(
                f"model {self.name!r} through LiteLLM: {error}", may_be_billed=True
            ) from None
        return completed(request, reply, self.price, self.name)


def _import() -> Any:
    try:
        import litellm
    except ImportError:
        raise MeritreeError("a model through LiteLLM needs: pip install litellm") from None
    return litellm

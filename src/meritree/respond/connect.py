"""From what a user types (``--model NAME --base-url URL``) to a model that is ready to be asked.

Puts the parts of this room together; who pays, the caller says.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from meritree.errors import BadInput
from meritree.respond.address import OPENAI, parse_address
from meritree.respond.codec import loads
from meritree.respond.connection import Connection
from meritree.respond.errors import BrokenReply, EndpointDown, ModelError, WrongKey
from meritree.respond.ledgered import ledgered
from meritree.respond.model import DEFAULT_MAX_TOKENS, Model
from meritree.respond.openai_chat import OpenAIChat
from meritree.respond.prices import Prices, packaged_prices, read_prices
from meritree.respond.secret import masked
from meritree.respond.text_tools import AdaptiveTools, TextTools
from meritree.run.ledger import Ledger

if TYPE_CHECKING:
    from meritree.respond.tape import Tape

_CHECK_SECONDS = 15.0
Tools = Literal["auto", "own", "text"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A model as a user chooses it; plain data, without keys.

    Attributes:
        name: as the endpoint knows it. A URL means the only model that the endpoint there serves.
        base_url: of the endpoint; None is OpenAI's.
        api_key_env: the variable that holds the key; None takes the provider's own.
        tools: ``own`` tool calls, the ``text`` protocol, or what the endpoint offers (``auto``).
        timeout: seconds for a whole reply.
        retries: further attempts after a failure that may pass.
        max_tokens: the longest reply.
        stream: ask for a stream.
    """

    name: str
    base_url: str | None = None
    api_key_env: str | None = None
    tools: Tools = "auto"
    timeout: float = 600.0
    retries: int = 5
    max_tokens: int = DEFAULT_MAX_TOKENS
    stream: bool = False


def connect(
    choice: Choice,
    *,
    ledger: Ledger | None = None,
    prices: Prices | None = None,
    tape: Tape | None = None,
) -> Model:
    """The chosen model, with tools, paid from ``ledger``, recorded on ``tape``.

    Raises:
        BadInput: the URL, the name or ``tools`` is wrong, or a budget of money meets a model
            without a price.
        ModelError: the endpoint had to be asked for its models and does not tell.
    """
    if choice.tools not in ("auto", "own", "text"):
        raise BadInput(f"tools {choice.tools!r}: allowed are auto, own and text")
    choice = resolved(choice)
    endpoint: Model = OpenAIChat(
        choice.name,
        choice.base_url or OPENAI,
        api_key_env=choice.api_key_env,
        timeout=choice.timeout,
        retries=choice.retries,
        max_tokens=choice.max_tokens,
        stream=choice.stream,
        prices=prices,
        tape=tape,
    )
    paying = endpoint if ledger is None else ledgered(endpoint, ledger)
    if choice.tools == "own":
        return paying
    return TextTools(paying) if choice.tools == "text" else AdaptiveTools(paying)


def resolved(choice: Choice) -> Choice:
    """``choice`` with a URL as its name replaced by the model that is served there.

    Raises:
        BadInput: it serves several models or none, or two URLs were given.
        ModelError: the endpoint does not tell.
    """
    if not choice.name.startswith(("http://", "https://")):
        return choice
    if choice.base_url is not None:
        raise BadInput(f"--model {choice.name} is a URL; give it or --base-url, not both")
    names = served_models(choice.name, choice.api_key_env)
    if len(names) != 1:
        listed = ", ".join(names[:20]) or "none"
        raise BadInput(
            f"--model {choice.name} serves {len(names)} models ({listed}); choose one with "
            f"--model NAME --base-url {choice.name}"
        )
    return replace(choice, name=names[0], base_url=choice.name)


def served_models(base_url: str, api_key_env: str | None = None) -> tuple[str, ...]:
    """Names of the models that an endpoint lists, in its order.

    Raises:
        BadInput: no URL.
        ModelError: nobody answers, the key is wrong, or the answer is no list of models.
    """
    address = parse_address(base_url, api_key_env)
    with closing(Connection(address, "any")) as connection:
        response = connection.exchange(f"{address.base}/models", None, 30.0)
        if not 200 <= response.status < 300:
            error = connection.refused(response)
            error.args = (masked(str(error), address.key_variable),)
            raise error
    try:
        document = loads(response.body)
    except ValueError:
        document = None
    listed = document.get("data") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise BrokenReply(
            f"{address.base}/models gives no list of models; name the model with --model NAME "
            f"--base-url {address.base}"
        )
    return tuple(
        str(one["id"]) for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str)
    )


def check_reachable(name: str, base_url: str, api_key_env: str | None = None) -> None:
    """Ask an endpoint once for its list of models, before anything long is begun.

    Only what no later question could change is refused: nobody there, a key missing, a key that
    is unknown (401). An endpoint that keeps no list, is busy, or hides it from this key, passes.

    Raises:
        BadInput: no URL; nobody answers; the key is missing or unknown.
    """
    address = parse_address(base_url, api_key_env)
    with closing(Connection(address, name)) as connection:
        try:
            response = connection.exchange(f"{address.base}/models", None, _CHECK_SECONDS)
        except (EndpointDown, WrongKey) as error:
            raise BadInput(str(error)) from None
        except ModelError:
            return  # somebody is there: slow, or of another mind about lists
        if response.status == 401:
            refused = str(connection.refused(response))
            raise BadInput(masked(refused, address.key_variable))


def user_prices(
    file: Path | None = None, repository: Mapping[str, Any] | None = None, source: str = ""
) -> Prices:
    """The packaged prices, extended by the user's file and by a repository's settings.

    Args:
        file: of the user, see `read_prices`.
        repository: its ``[tool.meritree.prices]``.
        source: names that file in messages.

    Raises:
        BadInput: one of them is no price table.
    """
    prices = packaged_prices() if file is None else read_prices(file)
    return prices.extended_by_repository(repository, source) if repository else prices

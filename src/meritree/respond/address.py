"""Where an endpoint is and which variable of the environment holds its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from meritree.errors import BadInput
from meritree.respond.offline import is_loopback

OPENAI = "https://api.openai.com/v1"
OWN_KEY = "MERITREE_API_KEY"
# A key goes to its own provider and nowhere else, unless the user says so.
KEY_OF_HOST: Mapping[str, str] = {
    "api.openai.com": "OPENAI_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
    "generativelanguage.googleapis.com": "GEMINI_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
}


@dataclass(frozen=True, slots=True)
class Address:
    """A checked base URL.

    Attributes:
        base: without a slash at the end.
        host: name or address.
        loopback: it can only be this machine.
        key_variable: the variable whose key is sent there, if it is set.
        key_needed: the provider is known to refuse calls without a key.
    """

    base: str
    host: str
    loopback: bool
    key_variable: str
    key_needed: bool

    @property
    def chat(self) -> str:
        """Where conversations are sent."""
        return f"{self.base}/chat/completions"

    @property
    def scope(self) -> str:
        """Who is asked, for a recording: ports of this machine do not matter."""
        return "loopback" if self.loopback else self.host


def parse_address(base_url: str, key_variable: str | None = None) -> Address:
    """Check a base URL; one without a path gets ``/v1``, as every server here wants it.

    Raises:
        BadInput: it is no http(s) URL, or it holds a password or a query (where keys leak).
    """
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadInput(f"--base-url {base_url!r} is no URL: {error}") from None
    if parts.username is not None or parts.query or parts.fragment:
        raise BadInput(
            f"--base-url of {host or 'the endpoint'} holds a user, a query or a fragment; give "
            "the plain URL and put the key into the environment"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput(
            f"--base-url {base_url!r} is no http(s) URL; give one such as {OPENAI} or "
            "http://127.0.0.1:8000/v1"
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    shown = f"[{host}]" if ":" in host else host
    where = shown if port is None else f"{shown}:{port}"
    known = KEY_OF_HOST.get(host)
    return Address(
        base=f"{parts.scheme}://{where}{path}",
        host=host,
        loopback=is_loopback(host),
        key_variable=key_variable or known or OWN_KEY,
        key_needed=known is not None,
    )

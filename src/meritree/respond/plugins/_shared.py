"""What the plug-ins share: turning a foreign library's failure into our errors."""

from __future__ import annotations

import os

from meritree.respond.errors import EndpointDown, ModelError, TimedOut
from meritree.respond.refusals import refusal
from meritree.respond.secret import MASK


def foreign_error(error: Exception, library: str, model: str) -> ModelError:
    """Our error for a library's exception: by its status code where it carries one."""
    text = all_keys_masked(str(error))
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 300 <= status < 600:
        headers = getattr(error, "headers", None)
        known = {str(k).lower(): str(v) for k, v in headers.items()} if headers else {}
        key = f"the key that {library} reads"
        return refusal(status, text.encode(), known, library, model, key)
    name = type(error).__name__
    kind = (
        TimedOut if "timeout" in name.lower() or isinstance(error, TimeoutError) else EndpointDown
    )
    return kind(
        f"model {model!r} through {library} failed ({name}): {text[:300]}", may_be_billed=True
    )


def all_keys_masked(text: str) -> str:
    """``text`` without any key of the environment: these libraries find their keys themselves."""
    for name, value in os.environ.items():
        if name.upper().endswith(("KEY", "TOKEN", "SECRET")) and len(value) >= 8:
            text = text.replace(value, MASK)
    return text

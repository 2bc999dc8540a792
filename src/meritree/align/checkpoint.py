"""Checkpoints of a training run: everything that the next step depends on, in one file.

Only tensors and plain values are written, so that reading a file runs no code of it.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import inspect
import os
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

from meritree.align._torch import Module, Tensor, torch
from meritree.errors import BadInput

SCHEMA = 2
NAME = "checkpoint.pt"


def fingerprint(*tensors: Tensor) -> str:
    """Short hash of the tensors' contents and shapes."""
    digest = hashlib.sha256()
    for x in tensors:
        digest.update(repr((tuple(x.shape), str(x.dtype))).encode())
        digest.update(x.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def body_of(function: Callable[..., Any]) -> str:
    """Short hash of what a function does: its source without comments, else its compiled code.

    Of a wrapped function (``__wrapped__``) the inner one counts, of another callable its
    ``__call__``. What it calls or closes over is not looked at.
    """
    inner = inspect.unwrap(function)
    if not hasattr(inner, "__code__") and not isinstance(inner, type):
        inner = type(inner).__call__
    code = getattr(inner, "__code__", None)
    try:
        if code is not None and code.co_filename == "<string>":
            # What `exec` compiled has no file; since Python 3.13 that name may be another's text.
            raise OSError("no source")
        body = textwrap.dedent(inspect.getsource(inner))
        with contextlib.suppress(SyntaxError):  # a lambda in the middle of an expression
            body = ast.dump(ast.parse(body))
    except (OSError, TypeError):
        body = type(function).__qualname__ if code is None else _compiled(code)
    return hashlib.sha256(body.encode()).hexdigest()[:8]


def _compiled(code: CodeType) -> str:
    inner = [_compiled(x) if isinstance(x, CodeType) else x for x in code.co_consts]
    return repr((code.co_code, code.co_names, inner))


def trained_state(policy: Module) -> dict[str, Tensor]:
    """Parameters that are trained, and buffers; frozen ones (under LoRA) stay with the caller."""
    frozen = {name for name, p in policy.named_parameters() if not p.requires_grad}
    return {name: x for name, x in policy.state_dict().items() if name not in frozen}


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the checkpoint whole or not at all.

    Raises:
        BadInput: the folder cannot be written.
    """
    path, half = folder / NAME, folder / f"{NAME}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"schema": SCHEMA, **state}, half)
        half.replace(path)
    except (OSError, RuntimeError) as error:
        half.unlink(missing_ok=True)
        raise BadInput(f"checkpoint {path}: cannot be written ({error})") from None


def load(folder: Path, recipe: Mapping[str, Any]) -> dict[str, Any] | None:
    """The checkpoint in the folder, None if there is none.

    Raises:
        BadInput: unreadable, of another version, or of another run; names what differs.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        schema, kept = state["schema"], state["recipe"]
    # A damaged file shows as any of many errors of the unpickler.
    except Exception as error:
        raise BadInput(
            f"checkpoint {path}: cannot be read ({type(error).__name__}); remove it to begin anew"
        ) from error
    if schema != SCHEMA:
        raise BadInput(f"checkpoint {path}: version {schema}, expected {SCHEMA}; begin anew")
    for name, value in recipe.items():
        if kept.get(name) != value:
            raise BadInput(
                f"checkpoint {path}: is of another run: {name} was {kept.get(name)!r}, "
                f"now {value!r}; give another folder or the same settings"
            )
    return state

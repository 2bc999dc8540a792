"""PyTorch and Transformers, or an error that says how to get them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from meritree.errors import BadInput

try:
    import torch
except ImportError as error:  # pragma: no cover - the extra is installed wherever this is tested
    raise BadInput("meritree.align needs PyTorch: pip install 'meritree[align]'") from error

Tensor: TypeAlias = Any
"""A `torch.Tensor`; Any, because PyTorch's own types are not followed."""

Module: TypeAlias = Any
"""A `torch.nn.Module`."""

__all__ = [
 "Module", "Tensor", "own_randomness", "random_state", "set_random_state", "torch", "transformers",
]  # fmt: skip


def transformers() -> Any:
    """The package `transformers`; imported at first use, for it takes seconds.

    Raises:
        BadInput: it is not installed.
    """
    try:
        import transformers as package
    except ImportError as error:  # pragma: no cover - installed wherever this is tested
        raise BadInput(
            "models of Hugging Face need Transformers: pip install 'meritree[align]'"
        ) from error
    return package


@contextmanager
def own_randomness(seed: int, device: Any) -> Iterator[None]:
    """Draws inside come from the seed; the caller's random state is left as it was."""
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        if gpus:  # pragma: no cover - needs a GPU
            torch.cuda.manual_seed(seed)
        yield


def random_state(device: Any) -> dict[str, Tensor]:
    """State of the generators that a model on this device draws from."""
    gpu = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state()} | gpu


def set_random_state(state: dict[str, Tensor], device: Any) -> None:
    """Go on where `random_state` was asked."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:  # pragma: no cover - needs a GPU
        torch.cuda.set_rng_state(state["cuda"], device)

"""Models of this machine by name: ``echo``, ``scripted:FILE``, ``noisy:RATE:MODEL``.

Higher floors add their own kinds, such as one that is backed by the repair policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from meritree.errors import BadInput
from meritree.respond.model import Model
from meritree.respond.scripted import NoisyModel, ScriptedModel, echo_model

# What stands after the colon, and a seed, to a model.
MakeModel = Callable[[str, int], Model]


def local_model(spec: str, seed: int = 0, more: Mapping[str, MakeModel] | None = None) -> Model:
    """The model that ``spec`` names.

    Args:
        spec: ``KIND`` or ``KIND:ARGUMENT``.
        seed: of kinds that draw at random.
        more: further kinds.

    Raises:
        BadInput: no such kind, or its argument is wrong.
    """
    kinds: dict[str, MakeModel] = {"echo": _echo, "scripted": _scripted, **(more or {})}
    kind, _, argument = spec.partition(":")
    if kind == "noisy":
        rate, _, inner = argument.partition(":")
        try:
            share = float(rate)
        except ValueError:
            raise BadInput(
                f"--model {spec}: {rate!r} is no rate; write noisy:0.2:MODEL, as in noisy:0.2:echo"
            ) from None
        return NoisyModel(local_model(inner, seed, more), share, seed)
    if kind not in kinds:
        known = ", ".join(sorted([*kinds, "noisy"]))
        raise BadInput(f"--model {spec}: no such kind of local model; known are {known}")
    return kinds[kind](argument, seed)


def _echo(argument: str, seed: int) -> Model:
    if argument:
        raise BadInput(f"--model echo:{argument}: echo takes no argument")
    return echo_model()


def _scripted(argument: str, seed: int) -> Model:
    if not argument:
        raise BadInput("--model scripted: name its file, as in scripted:replies.jsonl")
    return ScriptedModel.from_file(Path(argument).expanduser(), again=True)

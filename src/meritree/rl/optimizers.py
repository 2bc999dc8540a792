"""Optimisers of small networks, quicker by seeing all parameters as one array.

Knows optax and trees of parameters; no trainer.
"""

from __future__ import annotations

from typing import Any

import optax

from meritree.rl.nets import parameter_count

_SMALL = 20_000  # parameters up to which arrays are joined; beyond, copying costs more


def flattened(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """``optimizer`` on one array of all parameters where they are 20 000 or fewer.

    On processors most of a small network's update is the number of its arrays. For optimisers
    that treat entries alike or use the norm of all (Adam, SGD, clipping by the global norm); not
    for those that tell arrays apart (masks, LAMB, Adafactor).
    """
    joined = optax.flatten(optimizer)

    def chosen(params: Any) -> optax.GradientTransformation:
        return joined if parameter_count(params) <= _SMALL else optimizer

    def init(params: Any) -> Any:
        return chosen(params).init(params)

    def update(gradient: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return chosen(gradient).update(gradient, state, params)

    return optax.GradientTransformation(init, update)

"""Golden learning curves: a change that alters what the value trainer learns does so knowingly.

Behaviour is uniformly random, so that rounding cannot grow through choices of actions: curves on
other processors and of other minor versions of JAX agree within TOLERANCE, relative to a curve's
largest value. Where a version draws other random numbers, write them anew and say why:
``python tests/rl/test_golden_curves.py``.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from meritree.rl.nets import MLP
from meritree.rl.value_based.act import uniformly
from meritree.rl.value_based.bootstrap import double
from meritree.rl.value_based.chain import TargetChain
from meritree.rl.value_based.data import Prioritised
from meritree.rl.value_based.trainer import value_trainer
from meritree.value.heads import HLGauss

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "value_trainer.json"
TOLERANCE = 2e-3
SLOTS: dict[str, dict[str, Any]] = {
    "DQN": {},
    "double HL-Gauss, chain of two, priorities, two steps": {
        "head": HLGauss(-0.5, 1.5, 21),
        "bootstrap": double,
        "chain": TargetChain(2, shift=20, sync=5),
        "data": Prioritised(200, n_step=2),
    },
}


def curve(env: Any, slots: dict[str, Any]) -> dict[str, list[float]]:
    """The log of a run of 100 updates, 5 points."""
    trainer = value_trainer(
        env, net=MLP((16,)), act=uniformly, steps=200, n_env=2, warmup=20, windows=5, **slots
    )
    _, log = jax.jit(trainer.run)(jax.random.key(7))
    return {name: [round(float(x), 7) for x in values] for name, values in log.items()}


@pytest.mark.parametrize("name", SLOTS)
def test_the_trainer_learns_as_it_did(corridor: Any, name: str) -> None:
    fresh, kept = curve(corridor, SLOTS[name]), json.loads(GOLDEN.read_text("utf-8"))[name]
    assert fresh.keys() == kept.keys()
    for number, values in kept.items():
        size = np.nanmax(np.abs(values))
        np.testing.assert_allclose(
            fresh[number], values, rtol=0.0, atol=TOLERANCE * size, err_msg=number
        )


def test_the_golden_curves_show_learning() -> None:
    for name, kept in json.loads(GOLDEN.read_text("utf-8")).items():
        assert kept["loss"][-1] < 0.95 * kept["loss"][0], name


if __name__ == "__main__":
    env = runpy.run_path(str(HERE / "conftest.py"))["make_corridor"]()
    curves = {name: curve(env, slots) for name, slots in SLOTS.items()}
    GOLDEN.write_text(json.dumps(curves, indent=1) + "\n", "utf-8")

"""Two devices give what one gives. Devices are simulated, which needs a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import pytest

from meritree.errors import BadInput
from meritree.rl.sharding import check_mesh

SCRIPT = """
import jax, numpy as np
from meritree.rl import fit, value_trainer
from meritree.rl.envs import Gymnax
from meritree.rl.nets import MLP

mesh = jax.make_mesh((2,), ("data",))
logs = []
for each in (None, mesh):
    trainer = value_trainer(
        Gymnax("Catch-bsuite"), net=MLP((8,)), steps=64, n_env=4, batch=8, warmup=16, windows=2,
        mesh=each,
    )
    state, log = fit(trainer, 0)
    logs.append((state.learned.members.online, log["loss"]))
    spread = len(state.obs.sharding.device_set)
    assert spread == (1 if each is None else 2), spread
np.testing.assert_allclose(logs[0][1], logs[1][1], rtol=1e-4)
for one, other in zip(jax.tree.leaves(logs[0][0]), jax.tree.leaves(logs[1][0]), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
print("same")
"""


def test_two_devices_give_the_same_numbers_as_one() -> None:
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout.strip() == "same", done.stderr


def test_worlds_that_cannot_be_spread_evenly_are_refused() -> None:
    mesh = jax.make_mesh((1,), ("data",))
    check_mesh(mesh, n_env=3)
    with pytest.raises(BadInput, match="one must be called 'data'"):
        check_mesh(jax.make_mesh((1,), ("rows",)), n_env=3)

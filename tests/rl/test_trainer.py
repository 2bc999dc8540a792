"""Runs: whole or in pieces, from a checkpoint, evaluated; and combinations that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from meritree.errors import BadInput
from meritree.rl.envs import Box, Discrete, EnvSpec, Gymnax, Outcome, vectorise
from meritree.rl.nets import MLP
from meritree.rl.trainer import Trainer, evaluate, fit, seeds
from meritree.rl.value_based import act, bootstrap
from meritree.rl.value_based.chain import TargetChain
from meritree.rl.value_based.data import Prioritised, Uniform
from meritree.rl.value_based.trainer import value_trainer
from meritree.value.contexts import stock
from meritree.value.heads import Channels, Quantile
from meritree.value.transforms import shift


class Corridor:
    """Five places in a row: right is worth 1 at the end, left ends with 0; cut after 20 steps."""

    spec = EnvSpec("corridor", (5,), Discrete(2))

    def reset(self, key: Any) -> tuple[Any, Any]:
        return (jnp.asarray(2), jnp.asarray(0)), jax.nn.one_hot(2, 5)

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, Outcome]:
        place, time = state[0] + 2 * action - 1, state[1] + 1
        ended = (place == 0) | (place == 4)
        reward = jnp.where(place == 4, 1.0, 0.0)[None]
        outcome = Outcome(jax.nn.one_hot(place, 5), reward, ended, (time >= 20) & ~ended)
        return (place, time), outcome


def small(**options: Any) -> Trainer:
    settings: dict[str, Any] = {
        "net": MLP((16,)), "steps": 1600, "n_env": 4, "batch": 16, "warmup": 80, "windows": 4,
        "data": Uniform(200), "optimizer": optax.adam(3e-3), "gamma": 0.9,
        "chain": TargetChain(shift=20),
    }  # fmt: skip
    return value_trainer(Corridor(), **(settings | options))


@pytest.fixture(scope="module")
def corridor() -> tuple[Trainer, Any, Any]:
    trainer = small()
    state, log = fit(trainer, 3)
    return trainer, state, log


def test_it_learns_the_values_of_a_corridor(corridor: tuple[Trainer, Any, Any]) -> None:
    trainer, state, log = corridor
    assert log["return"][-1] > 0.85
    network = state.learned.members.online["net"]
    hidden = {name: leaf[0] for name, leaf in network["torso"]["Dense_0"].items()}
    outer = {name: leaf[0] for name, leaf in network["readout"].items()}
    features = jax.nn.relu(jnp.eye(5) @ hidden["kernel"] + hidden["bias"])
    q = features @ outer["kernel"] + outer["bias"]
    np.testing.assert_allclose(q[1:4, 1], [0.81, 0.9, 1.0], atol=0.07)
    returns = evaluate(trainer, state, Corridor(), jax.random.key(0), n_env=3, episodes=2)
    np.testing.assert_array_equal(returns, np.ones((3, 2)))


def test_pieces_and_the_whole_run_give_the_same_numbers(corridor: tuple[Trainer, Any, Any]) -> None:
    trainer, state, log = corridor
    whole, curve = seeds(trainer, 1, first=3)
    np.testing.assert_allclose(curve["return"][0], log["return"], rtol=1e-5)
    for one, other in zip(
        jax.tree.leaves(whole.learned.members.online),
        jax.tree.leaves(state.learned.members.online),
        strict=True,
    ):
        np.testing.assert_allclose(one[0], other, rtol=1e-4, atol=1e-5)


def test_an_interrupted_run_goes_on_from_its_checkpoint_bit_for_bit(
    corridor: tuple[Trainer, Any, Any], tmp_path: Path
) -> None:
    trainer, _, log = corridor

    class Stopped(Exception):
        pass

    def stop(done: int, total: int, log: Any) -> None:
        if done == 3:
            raise Stopped

    with pytest.raises(Stopped):
        fit(trainer, 3, out=tmp_path, save_every=2, progress=stop)
    seen: list[int] = []
    _, again = fit(
        trainer, 3, out=tmp_path, save_every=2, progress=lambda done, *_: seen.append(done)
    )
    assert seen == [3, 4]
    for name, values in log.items():
        np.testing.assert_array_equal(again[name], values)


def test_a_checkpoint_of_another_run_is_refused(
    corridor: tuple[Trainer, Any, Any], tmp_path: Path
) -> None:
    trainer = corridor[0]
    fit(trainer, 3, out=tmp_path)
    with pytest.raises(BadInput, match="belongs to seed 3"):
        fit(trainer, 4, out=tmp_path)
    with pytest.raises(BadInput, match="another trainer"):
        fit(small(net=MLP((8,))), 3, out=tmp_path)
    # A number that leaves every shape as it is makes another run just as well.
    with pytest.raises(BadInput, match="some part or number"):
        fit(small(gamma=0.5), 3, out=tmp_path)
    with pytest.raises(BadInput, match="4 windows, this run has 2"):
        fit(replace(trainer, windows=2), 3, out=tmp_path)
    (tmp_path / "checkpoint.npz").write_bytes(b"half a file")
    with pytest.raises(BadInput, match="not a checkpoint"):
        fit(trainer, 3, out=tmp_path)


def test_many_parts_at_once_train_together() -> None:
    """A distributional ensemble with contexts, shifted rewards, priorities and three steps."""
    trainer = small(
        head=Quantile(8),
        chain=TargetChain(K=2, chained=False, shift=20),
        reward=[shift(-0.1, 0.9), shift(0.0, 0.9)],
        context=stock(0.9, lambda key: jnp.zeros(1)),
        data=Prioritised(200, n_step=3),
        bootstrap=bootstrap.double,
        act=act.epsilon_greedy(0.2, act.member_of_episode),
        windows=2,
        steps=400,
    )
    state, log = fit(trainer, 0)
    assert np.isfinite(log["loss"]).all()
    returns = evaluate(trainer, state, vectorise(Corridor(), 2), jax.random.key(0), limit=25)
    assert returns.shape == (2, 1)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"head": Channels((1.0, 1.0))}, "expected 2 channels"),
        ({"reward": [shift(0.0, 0.9)] * 2}, "2 transforms for 1 members"),
        ({"reward": [shift(0.0, 0.9)] * 2, "chain": TargetChain(K=2)}, "chained=False"),
        ({"relabel_context": True}, "no context"),
        ({"gamma": 1.5}, "gamma=1.5"),
        ({"bootstrap": bootstrap.munchausen}, r"munchausen\(\) and"),
        ({"bootstrap": "double"}, "give a function"),
        ({"head": Quantile}, r"head=Quantile: give the thing itself"),
        ({"batch": 0}, "batch=0"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(
    options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        small(**options)


def test_a_polyak_average_cannot_be_a_chain() -> None:
    with pytest.raises(BadInput, match="chained=False"):
        TargetChain(K=3, polyak=0.01)


def test_real_actions_are_refused_by_the_value_trainer() -> None:
    class Real(Corridor):
        spec = EnvSpec("real", (5,), Box((1,), -1.0, 1.0))

    with pytest.raises(BadInput, match="finite set"):
        value_trainer(Real())


def test_gymnax_names_what_it_has() -> None:
    with pytest.raises(BadInput, match="CartPole-v1"):
        Gymnax("CartPole-v7")
    with pytest.raises(BadInput, match="max_steps_in_episode"):
        Gymnax("CartPole-v1", params=(("duration", 3),))


def test_a_limit_cuts_an_episode_and_does_not_end_it() -> None:
    env = vectorise(Gymnax("CartPole-v1", params=(("max_steps_in_episode", 3),)), 2)
    state, _ = env.reset(jax.random.key(0))
    going = jax.jit(env.step)
    for time in range(1, 4):
        state, out = going(jax.random.key(time), state, jnp.zeros(2, int))
        assert out.truncated.tolist() == [time == 3] * 2
        assert not out.terminated.any()
    # The state reached is kept apart from the one that the next episode begins with.
    assert float(jnp.abs(out.reached - out.obs).min()) > 0.0

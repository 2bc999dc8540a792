"""What a newcomer gets wrong first is refused at once, with the way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

jax = pytest.importorskip("jax")
gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("gymnax")
pytest.importorskip("pgx")

from meritree.errors import BadInput  # noqa: E402
from meritree.rl.envs import RiverSwim, make_env, vectorise  # noqa: E402
from meritree.rl.on_policy.trainer import on_policy_trainer  # noqa: E402
from meritree.rl.trainer import Trainer, fit  # noqa: E402
from meritree.rl.value_based.offline import offline_trainer, play  # noqa: E402
from meritree.rl.value_based.trainer import value_trainer  # noqa: E402
from meritree.value.transforms import added, chain, clip, shift  # noqa: E402


class Nameless(gymnasium.Env):  # type: ignore[misc, name-defined]
    """A world that was never registered."""


@pytest.mark.parametrize("trainer", [value_trainer, on_policy_trainer])
@pytest.mark.parametrize(
    ("given", "way_out"),
    [
        (lambda: gymnasium.make("CartPole-v1"), "give make_env('gymnasium:CartPole-v1', n=4)"),
        (lambda: gymnasium.make_vec("CartPole-v1", 4), "make_env('gymnasium:CartPole-v1', n=4)"),
        (Nameless, "HostVector(SyncVectorEnv([...], autoreset_mode=AutoresetMode.SAME_STEP))"),
        (
            lambda: "CartPole-v1",
            "make_env('CartPole-v1') or make_env('gymnasium:CartPole-v1', n=4)",
        ),
        (lambda: "river-swim", "env='river-swim': that is a name, give the environment: "
         "make_env('meritree:river-swim')"),
        (lambda: "riverswim", "did you mean meritree:river-swim?"),
        (lambda: RiverSwim, "env=RiverSwim: that is a class, give one that is made, RiverSwim("),
        (lambda: 3, "env=3: give an environment, such as make_env('CartPole-v1')"),
    ],
)  # fmt: skip
def test_what_is_no_environment_of_ours_is_refused_with_the_call_that_makes_one(
    trainer: Callable[..., Any], given: Callable[[], Any], way_out: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(way_out)):
        trainer(given(), n_env=4)


def test_another_number_of_worlds_is_refused_with_the_right_one() -> None:
    with pytest.raises(BadInput, match=re.escape("runs 4 worlds, but n_env=8: give n_env=4")):
        value_trainer(make_env("gymnasium:CartPole-v1", n=4), n_env=8)


def test_a_spec_of_gymnasium_is_refused() -> None:
    data = play(
        RiverSwim(3), lambda key, obs: jax.numpy.zeros(2), jax.random.key(0), steps=2, n_env=2
    )
    with pytest.raises(BadInput, match=r"make_env\(\.\.\.\)\.spec"):
        offline_trainer(gymnasium.spec("CartPole-v1"), data)


@pytest.mark.parametrize("trainer", [value_trainer, on_policy_trainer])
@pytest.mark.parametrize(
    "reward",
    [
        shift(-0.1, gamma=0.99),
        chain(clip(-1.0, 1.0), shift(-0.1, gamma=0.99)),
        added(shift(-0.1, gamma=0.99), 0.5),
    ],
)
def test_a_reward_that_reckons_with_another_discount_is_refused(
    trainer: Callable[..., Any], reward: Any
) -> None:
    with pytest.raises(BadInput, match=r"with gamma=0.99, but the trainer .* gamma=0.9; give both"):
        trainer(RiverSwim(3), reward=reward, gamma=0.9)


def test_the_same_discount_or_a_traced_one_or_a_shift_by_nothing_goes_through() -> None:
    value_trainer(RiverSwim(3), reward=shift(-0.1, gamma=0.9), gamma=0.9)
    value_trainer(RiverSwim(3), reward=shift(0.0, gamma=0.9), gamma=0.99)
    value_trainer(RiverSwim(3), reward=shift(-0.1, gamma=0.9), gamma=jax.numpy.asarray(0.99))


def walk(worlds: Any) -> Trainer:
    """Two windows of one step each, in which nothing is learned."""

    def window(state: Any) -> Any:
        state, out = worlds.step(
            jax.random.key(0), state, jax.numpy.zeros(worlds.n, jax.numpy.int32)
        )
        return state, {"reward": out.reward.sum()}

    return Trainer(
        worlds.spec, lambda key: worlds.reset(key)[0], window, 2, 1,
        lambda state, key, obs, ctx: jax.numpy.zeros(len(obs), jax.numpy.int32),
    )  # fmt: skip


class Interrupted(Exception):
    """Stands for a user who stops a run."""


def stop(done: int, total: int, log: Any) -> None:
    raise Interrupted


def test_a_run_on_worlds_outside_of_jax_warns_that_it_cannot_go_on_and_does_not(
    tmp_path: Path,
) -> None:
    name = "gymnasium:CartPole-v1"
    with (
        pytest.warns(UserWarning, match=f"{name} lives outside of JAX"),
        pytest.raises(Interrupted),
    ):
        fit(walk(make_env(name, n=2)), 0, out=tmp_path, save_every=1, progress=stop)
    assert (tmp_path / "checkpoint.npz").exists()
    with pytest.raises(BadInput, match=r"1 of 2 windows, .* cannot be wound back; begin anew"):
        fit(walk(make_env(name, n=2)), 0, out=tmp_path)


@pytest.mark.filterwarnings("error")
def test_worlds_within_jax_go_on_without_a_warning(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        fit(walk(vectorise(RiverSwim(3), 2)), 0, out=tmp_path, save_every=1, progress=stop)
    _, log = fit(walk(vectorise(RiverSwim(3), 2)), 0, out=tmp_path)
    assert log["steps"].tolist() == [1, 2]

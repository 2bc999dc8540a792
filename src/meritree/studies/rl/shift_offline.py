"""The offline part of study S047: DQN, CQL and discrete BCQ on fixed data, rewards shifted or not.

Data come from a simple controller, half of the worlds at random: of mixed quality. Must not know
the study's other parts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

GAMMA, WORLDS, PLAYED, BATCH = 0.99, 10, 20, 64
NOISE = (0.2, 1.0)  # how often the controller of each half of the worlds acts at random
ALPHA, THRESHOLD = 1.0, 0.3  # of CQL; of BCQ, as in its release
METHODS = {"double DQN": (0.0, 0.0), "CQL": (ALPHA, 0.0), "BCQ": (0.0, THRESHOLD)}
DATA = "the data's policy"
STEADY = {"CartPole-v1": 500, "Acrobot-v1": 500}  # steps of an episode at most


class Found(NamedTuple):
    """What policies learned from data bring.

    Attributes:
        gain: mean return of an episode.
        gap: mean estimate of first states, the shift taken out, less the discounted return.
    """

    gain: float
    gap: float


def controller(name: str, obs: Any) -> Any:
    """What a simple rule does: push towards where the pole falls; swing with the second joint."""
    import jax.numpy as jnp

    if name == "CartPole-v1":
        return (obs[:, 2] + 0.5 * obs[:, 3] > 0.0).astype(jnp.int32)
    return 2 * (obs[:, 5] > 0.0).astype(jnp.int32)


def run(
    name: str, seed: int, shifts: tuple[float, ...], steps: int, updates: int
) -> dict[tuple[str, float], Found]:
    """What every method and shift learns from one data set of a seed, and what `DATA` did.

    Args:
        name: of an environment, a key of `STEADY`.
        seed: of data and networks; all methods share both.
        shifts: added to each reward, for ever at ends.
        steps: of each of `WORLDS` worlds.
        updates: of each network.
    """
    import jax
    import numpy as np

    own, gains, gaps = map(np.asarray, runner(name, shifts, steps, updates)(jax.random.key(seed)))
    names = [(method, c) for method in METHODS for c in shifts]
    found = {one: Found(float(g), float(d)) for one, g, d in zip(names, gains, gaps, strict=True)}
    return found | {(DATA, 0.0): Found(float(own), 0.0)}


@cache
def runner(name: str, shifts: tuple[float, ...], steps: int, updates: int) -> Callable[[Any], Any]:
    """Random key to (return of the data, returns, gaps), one a method and shift; compiled."""
    import jax
    import jax.numpy as jnp
    import optax

    from meritree.rl.envs.gymnax import Gymnax
    from meritree.rl.nets import MLP, network
    from meritree.rl.value_based.bootstrap import double
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.conservative import Conservative, imitate, likely
    from meritree.rl.value_based.offline import offline_trainer, play
    from meritree.value.transforms import shift, unshifted_value

    env, limit = Gymnax(name), STEADY[name]
    net = network(MLP(), env.spec.actions)
    noise = jnp.repeat(jnp.asarray(NOISE), WORLDS // len(NOISE))
    settings = jnp.asarray([(*numbers, c) for numbers in METHODS.values() for c in shifts])

    def behave(key: Any, obs: Any) -> Any:
        toss, draw = jax.random.split(key)
        some = jax.random.randint(draw, (len(obs),), 0, env.spec.actions)
        return jnp.where(jax.random.uniform(toss, (len(obs),)) < noise, some, controller(name, obs))

    def whole(key: Any) -> Any:
        acting, copying, learning, judging = jax.random.split(key, 4)
        data = play(env, behave, acting, steps=steps, n_env=WORLDS, gamma=GAMMA)
        behaviour = imitate(data, env.spec.actions, copying, updates=updates // 4)
        unit = shift(1.0, GAMMA).sample((), data) - data.reward

        def one(numbers: Any) -> Any:
            alpha, threshold, c = numbers
            trainer = offline_trainer(
                env.spec, data._replace(reward=data.reward + c * unit), bootstrap=double,
                support=likely(behaviour, threshold), extra=Conservative(alpha),
                chain=TargetChain(polyak=0.01), optimizer=optax.adam(1e-3), updates=updates,
                batch=BATCH, windows=1,
            )  # fmt: skip
            state, _ = trainer.run(learning)
            lived = play(
                env, lambda key, obs: trainer.act(state, key, obs, None), judging, steps=limit,
                n_env=PLAYED, gamma=GAMMA,
            )  # fmt: skip
            gain, worth = returns(lived, PLAYED)
            first = lived.obs[:PLAYED]
            params = jax.tree.map(lambda leaf: leaf[0], state.learned.members.online["net"])
            possible = likely(behaviour, threshold)(first, None)
            best = jnp.where(possible, net.apply(params, first, None)[1], -jnp.inf).max(axis=1)
            return gain, jnp.mean(unshifted_value(best, c, GAMMA)) - worth

        gains, gaps = jax.lax.map(one, settings)
        return jnp.sum(data.reward) / jnp.maximum(jnp.sum(data.last), 1), gains, gaps

    compiled: Callable[[Any], Any] = jax.jit(whole)
    return compiled


def returns(lived: Any, worlds: int) -> tuple[Any, Any]:
    """Mean return and mean discounted return of the first episode of every world."""
    import jax.numpy as jnp

    reward = lived.reward[:, 0].reshape(-1, worlds)
    last = lived.last.reshape(-1, worlds)
    before = jnp.cumsum(last, axis=0) - last  # episodes that ended before the step
    counted = jnp.where(before == 0, reward, 0.0)
    discount = GAMMA ** jnp.arange(len(counted))
    return jnp.mean(jnp.sum(counted, axis=0)), jnp.mean(discount @ counted)

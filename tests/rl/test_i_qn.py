"""Chains of target networks (S029): every renewal against a simulation by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from meritree.rl.nets import Network
from meritree.rl.value_based.act import random_member
from meritree.rl.value_based.bootstrap import greedy
from meritree.rl.value_based.chain import Members, TargetChain, renew
from meritree.rl.value_based.parts import Unweighted
from meritree.rl.value_based.update import Learned, Learning, update
from meritree.studies.rl.i_qn import GAMMA, garnet, optimum
from meritree.value.heads import Scalar
from meritree.value.transforms import Step


def members(count: int, chain: TargetChain) -> Members:
    online = jnp.arange(count, dtype=jnp.float32) * 10.0
    return Members.new(chain, online, -online)


def history(chain: TargetChain, updates: int) -> list[tuple[list[float], ...]]:
    """(online, target, optimiser) after each update; update u adds u to every network."""
    step = jax.jit(partial(renew, chain))
    now, seen = members(chain.K, chain), []
    for u in range(1, updates + 1):
        now = step(u, now._replace(online=now.online + u))
        parts = (now.online, now.target, now.optimizer)
        seen.append(tuple(np.asarray(x).tolist() for x in parts))
    return seen


def by_hand(count: int, shift: int, sync: int, updates: int) -> list[tuple[list[float], ...]]:
    """The same in the order of the released code: shift, else synchronise."""
    online = [10.0 * k for k in range(count)]
    target, optimizer, seen = list(online), [-q for q in online], []
    for u in range(1, updates + 1):
        online = [q + u for q in online]
        if u % shift == 0:
            target = list(online)
            online = online[1:] + online[-1:]
            optimizer = optimizer[1:] + optimizer[-1:]
        elif u % sync == 0:
            target = target[:1] + online[:-1]
        seen.append((list(online), list(target), list(optimizer)))
    return seen


@pytest.mark.parametrize(("shift", "sync"), [(4, 2), (5, 2), (6, 6), (3, 1)])
def test_a_chain_is_renewed_as_by_hand(shift: int, sync: int) -> None:
    assert history(TargetChain(3, shift=shift, sync=sync), 13) == by_hand(3, shift, sync, 13)


def test_after_a_shift_every_network_is_what_the_next_one_was() -> None:
    before, after = history(TargetChain(4, shift=3, sync=5), 3)[1:]
    grown = [q + 3 for q in before[0]]  # the third update
    assert after[0] == [*grown[1:], grown[-1]]
    assert after[1] == grown


def test_one_network_is_the_ordinary_target_network_whatever_the_synchronisation() -> None:
    for sync in (1, 2, 50):
        seen = history(TargetChain(1, shift=4, sync=sync), 9)
        assert [target for _, (target,), _ in seen] == [0, 0, 0, 10, 10, 10, 10, 36, 36]
        assert [online for (online,), _, _ in seen] == [u * (u + 1) / 2 for u in range(1, 10)]


def test_members_without_a_chain_keep_their_own_targets() -> None:
    seen = history(TargetChain(2, shift=2, sync=1, chained=False), 4)
    assert [target for _, target, _ in seen] == [[0, 10], [3, 13], [3, 13], [10, 20]]
    assert seen[-1][0] == [10, 20]


def test_the_release_leaves_the_optimiser_behind() -> None:
    seen = history(TargetChain(3, shift=2, sync=1, shift_optimizer=False), 4)
    assert all(optimizer == [0, -10, -20] for _, _, optimizer in seen)


def test_the_targets_before_the_last_shift_are_kept_where_asked() -> None:
    chain = TargetChain(1, shift=2, keep_previous=True)
    step, now = jax.jit(partial(renew, chain)), members(1, chain)
    for u in range(1, 5):
        now = step(u, now._replace(online=now.online + u))
    assert (float(now.target[0]), float(now.previous[0])) == (10.0, 3.0)


NEXT = np.asarray([[1, 2], [2, 0], [0, 1]])  # where action a leads from state s
REWARD = np.asarray([[0.0, 1.0], [0.5, -1.0], [2.0, 0.3]], np.float32)
DISCOUNT = 0.9
START = np.asarray([[3.0, 0.0], [0.0, 1.0], [-2.0, 0.0]], np.float32)


def bellman(q: np.ndarray) -> np.ndarray:
    return REWARD + DISCOUNT * q.max(axis=1)[NEXT]


def tables(chain: TargetChain, updates: int, rate: float = 1.0) -> list[np.ndarray]:
    """[K, S, A] after each update of all pairs at once; rate 1 projects exactly."""
    table = Network(lambda key, obs, ctx: START, lambda q, obs, ctx: (q[obs], q[obs]))
    sgd = optax.sgd(rate * 6)
    parts = Learning(table, Scalar(), greedy, chain, Unweighted(), None, sgd)
    state, action = np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3)
    reward = REWARD.reshape(6, 1)
    columns = (reward, np.full(6, DISCOUNT), np.zeros(6, bool), state, action, NEXT.reshape(6))
    batch = Step(*map(jnp.asarray, columns))
    params = {"net": jnp.broadcast_to(START, (chain.K, 3, 2))}
    learned = Learned(
        Members.new(chain, params, jax.vmap(sgd.init)(params)), (), jnp.zeros((), jnp.int32)
    )

    @jax.jit
    def run(learned: Learned) -> Any:
        def one(learned: Learned, _: None) -> Any:
            each = jnp.broadcast_to(batch.reward, (chain.K, 6, 1))
            new = update(parts, learned, batch, each, jnp.ones(6), jax.random.key(0))[0]
            return new, new.members.online["net"]

        return jax.lax.scan(one, learned, length=updates)[1]

    return list(np.asarray(run(learned)))


def test_with_exact_projections_network_k_is_k_bellman_steps_away() -> None:
    images = [START]
    for _ in range(8):
        images.append(bellman(images[-1]))
    seen = tables(TargetChain(3, shift=4, sync=1), 6)
    for k in range(3):  # three updates fill the chain
        np.testing.assert_allclose(seen[2][k], images[k + 1], rtol=1e-5)
    # The shift after the fourth moves all of them one step on, the last one twice.
    for k, steps in enumerate((2, 3, 3)):
        np.testing.assert_allclose(seen[3][k], images[steps], rtol=1e-5)
    for k in range(3):
        np.testing.assert_allclose(seen[5][k], images[k + 2], rtol=1e-5)


def test_a_chain_that_synchronises_only_when_it_shifts_is_many_equal_dqns() -> None:
    chain = tables(TargetChain(2, shift=3, sync=3), 8, rate=0.3)
    alone = tables(TargetChain(1, shift=3), 8, rate=0.3)
    for both, one in zip(chain, alone, strict=True):
        np.testing.assert_allclose(both, np.broadcast_to(one[0], both.shape), rtol=1e-6)


def test_behaviour_follows_every_member_equally_often() -> None:
    score = jnp.eye(4)[:3, None, :]  # member k likes action k
    worlds = jnp.zeros(3000, jnp.int32)
    acts = random_member(jax.random.key(0), jnp.broadcast_to(score, (3, 3000, 4)), worlds, worlds)
    shares = np.bincount(np.asarray(acts), minlength=4) / 3000
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 1 / 3, 0.0], atol=0.035)


def test_the_studys_garnets_are_processes_and_their_optimum_is_a_fixed_point() -> None:
    process = garnet(3)
    np.testing.assert_allclose(process.p.sum(axis=-1), 1.0)
    assert ((process.p > 0).sum(axis=-1) == 5).all()
    q = optimum(process)
    np.testing.assert_allclose(process.r + GAMMA * process.p @ q.max(axis=1), q, rtol=1e-12)

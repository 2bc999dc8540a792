"""HGPO's parts in the trainer: what a mode is worth, its token, the measure, the lab's task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from meritree.align.lab.hybrid import DIRECT, TASK, THINK
from meritree.align.mixes import ModeForced
from meritree.align.prompts import prompts
from meritree.align.rewards import Rewards, Sample
from meritree.align.rlvr import RLVR, fit_rlvr
from meritree.align.sample import sample
from meritree.align.shaping import HybridMode
from meritree.objectives.surrogates import Clip
from meritree.studies.align import hgpo

MODE = torch.tensor([0, 0, 1, 1])
MASK = torch.ones(4, 3)
B = {"mode": MODE, "mask": MASK}


def advantage(reward: list[float], **options: Any) -> Any:
    return HybridMode(**options)(torch.tensor(reward), B, 4).advantage


def test_a_group_of_four_by_hand() -> None:
    # Thinking is better by 0.5; within a mode only the second plain answer is not the best.
    found = advantage([1.0, 0.0, 1.0, 1.0], alpha=1.0, delta=0.2)
    intra = (torch.tensor([1.0, 0.0, 1.0, 1.0]) - 0.75) / 0.5
    inter = torch.tensor([-0.5, -0.5, 0.5, 0.5]) / math.sqrt(1 / 3)
    torch.testing.assert_close(found[:, 0], intra + inter, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(found[:, 1:], intra[:, None].expand(-1, 2), atol=1e-5, rtol=0.0)


@pytest.mark.parametrize(("delta", "winner"), [(math.inf, 0), (-math.inf, 1)])
def test_a_boundless_margin_always_prefers_one_mode(delta: float, winner: int) -> None:
    for reward in ([0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]):
        both = advantage(reward, delta=delta)
        choice = both[:, 0] - both[:, 1]
        assert bool((choice[winner == MODE] > 0.5).all())
        assert bool((choice[winner != MODE] < -0.5).all())


def test_without_alpha_the_modes_token_is_like_any_other() -> None:
    found = advantage([1.0, 0.0, 1.0, 1.0], alpha=0.0)
    assert torch.equal(found[:, :1].expand(-1, 3), found)


def test_a_margin_that_is_not_passed_leaves_the_cheap_mode() -> None:
    close = advantage([0.9, 0.9, 1.0, 1.0], delta=0.2)
    assert bool(((close[:, 0] - close[:, 1])[MODE == 0] > 0.5).all())


@pytest.mark.parametrize("better", [0, 1])
def test_the_trainer_learns_which_mode_is_better(better: int, make_llama: Any) -> None:
    policy = make_llama(0)
    data = prompts([(2, 3, 4), (2, 5), (2, 6, 7)])
    mix = ModeForced(plain=8, thinking=9)

    def judge(samples: Sequence[Sample]) -> Rewards:
        return Rewards([float(sample.columns["mode"] == better) for sample in samples])

    method = RLVR(HybridMode(delta=0.2), Clip(0.5, 0.5), kl=0.001, size=4, mix=mix)
    fit_rlvr(
        policy, method, data, judge, longest=3, end=1, batch=3, steps=40,
        optimizer=lambda p: torch.optim.Adam(p, lr=0.01),
    )  # fmt: skip
    drawn = sample(policy, data.ids, n=20, longest=3, end=1)
    first = [answer[0] for group in drawn for answer in group]
    assert first.count((8, 9)[better]) / len(first) > 0.8


def test_hybrid_accuracy_counts_the_mode_that_the_own_answers_justify() -> None:
    def one(right: float = 0.0, think: float = 0.0) -> hgpo.Told:
        return hgpo.Told(right, think, 5.0)

    free = [one(think=1.0), one(think=1.0), one(think=0.25)]
    slow = [one(1.0), one(0.6), one(0.5)]
    fast = [one(0.5), one(0.5), one(0.5)]
    # Thinking is right for the first alone: the second's gain is within the margin, the third ties.
    assert hgpo.hybrid_accuracy(free, slow, fast) == pytest.approx((1.0 + 0.0 + 0.75) / 3)


def test_a_drawn_answer_is_right_in_its_mode_and_wrong_without_one() -> None:
    rng = Random(0)
    modes = set()
    for _ in range(200):
        prompt, answer = TASK.draw(rng)
        modes.add(answer[0])
        assert len(answer) <= TASK.longest
        assert TASK.reward(prompt, answer) == 1.0
        assert TASK.reward(prompt, answer[1:]) == 0.0
        wrong = str((int(answer[-1]) + 1) % 10)
        assert TASK.reward(prompt, [*answer[:-1], wrong]) == 0.0
    assert modes == {THINK, DIRECT}
    assert TASK.reward(["3", "+", "4"], []) == 0.0
    assert TASK.reward(["3", "+", "4"], [DIRECT, "=", "7"]) == 1.0


def test_a_group_of_answers_is_told_by_its_means() -> None:
    bench = SimpleNamespace(task=TASK)
    group = [[DIRECT, "=", "7"], [THINK, "7", ";", "=", "7"], [THINK, "8", ";", "=", "8"], ["="]]
    assert hgpo.told(bench, ["3", "+", "4"], group) == hgpo.Told(0.5, 0.5, (4 + 6 + 6 + 2) / 4)

"""What the trainer ends at is what the papers' algebra says: pair losses on tables of logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from meritree.align.data import Answer, Pair, answers, gaps, pairs
from meritree.align.prefer import fit_preferences
from meritree.align.tabular import Tabular, every_answer, every_pair
from meritree.objectives import divergences
from meritree.objectives.extras import Calibration, FullKl, Nll, Regress
from meritree.objectives.links import (
    Hinge,
    Logistic,
    MarginOfMargins,
    NoisyLabel,
    Robust,
    Square,
    Ties,
)
from meritree.objectives.preference import AvgLogp, LogRatio, PairObjective, RowObjective
from meritree.objectives.risk_ratio import CVaR, Mean, RiskRatio

DOUBLE = torch.float64
REF = torch.tensor([[0.3, -0.8, 0.9, 0.1]], dtype=DOUBLE)
REF_LOGP = REF[0].log_softmax(-1)
REWARD = torch.tensor([0.5, 0.9, -0.4, 0.0], dtype=DOUBLE)
BEATS = torch.sigmoid(REWARD[:, None] - REWARD[None, :])
BETA = 0.7
UNIFORM = torch.full((4,), 0.25, dtype=DOUBLE)


def fitted(objective: Any, data: Any, start: Any = REF, **options: Any) -> Any:
    policy = Tabular(start)
    ref = Tabular(REF if start.shape == REF.shape else start)
    fit_preferences(
        policy, objective, data, ref=ref, batch=None, steps=130, log_every=0,
        optimizer=lambda p: torch.optim.Adam(p, lr=0.15, betas=(0.8, 0.95)),
        schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.97), **options,
    )  # fmt: skip
    return policy.probabilities()[0]


def close(pi: Any, expected: Any) -> None:
    np.testing.assert_allclose(pi.numpy(), expected.numpy(), atol=1e-3)


F_DPO: list[tuple[Any, float]] = [
    ("reverse_kl", 0.5), ("forward_kl", 0.5), ("js", 0.5), ("alpha", 0.3), ("chi2", 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("f", "alpha"), F_DPO)
def test_f_dpo_ends_at_the_constrained_optimum_of_the_true_reward(f: Any, alpha: float) -> None:
    data = pairs(every_pair(BEATS.tolist()))
    beta = 2.0 if f == "chi2" else BETA  # where the optimum leaves no answer out
    pi = fitted(PairObjective(LogRatio(f, alpha), Logistic(beta), label="preference"), data)
    close(pi, divergences.best_policy(REWARD, REF_LOGP, beta, f, alpha))


def test_ipo_ends_at_its_closed_form_for_preferences_that_no_reward_explains() -> None:
    circle = torch.tensor(
        [[0.5, 0.9, 0.2, 0.6], [0.1, 0.5, 0.8, 0.3], [0.8, 0.2, 0.5, 0.7], [0.4, 0.7, 0.3, 0.5]],
        dtype=DOUBLE,
    )
    data = pairs(every_pair(circle.tolist()))
    pi = fitted(PairObjective(LogRatio(), Square(0.3), label="preference"), data)
    close(pi, divergences.psi_policy(REF_LOGP, circle, UNIFORM, 0.3))


def test_wrong_labels_are_undone_by_the_losses_that_know_their_share() -> None:
    data = pairs(every_pair((0.8 * BEATS + 0.1).tolist()))  # a tenth of the labels flipped
    expected = divergences.best_policy(REWARD, REF_LOGP, BETA)
    for link in (Robust(BETA, 0.1), NoisyLabel(BETA, 0.1)):
        close(fitted(PairObjective(LogRatio(), link, label="preference"), data), expected)
    plain = fitted(PairObjective(LogRatio(), Logistic(BETA), label="preference"), data)
    assert (plain - expected).abs().max() > 0.01


def test_smoothing_stops_dpo_at_a_finite_difference_and_the_hinge_at_its_margin() -> None:
    start = torch.zeros((1, 2), dtype=DOUBLE)
    for link, label, gap in (
        (Logistic(BETA, smoothing=0.2), 1.0, math.log(0.8 / 0.2) / BETA),
        (Hinge(BETA, margin=1.5), 0.7, 1.5 / BETA),
        (Square(0.4), 1.0, 1.0 / 0.8),
    ):
        data = pairs([Pair((0,), (0,), (1,), preference=label)])
        pi = fitted(PairObjective(LogRatio(), link, label="preference"), data, start)
        np.testing.assert_allclose(torch.logit(pi[0]), gap, atol=0.02)


def test_a_judge_who_may_call_a_tie_is_read_as_rao_and_kupper_say() -> None:
    eta, units, weights = 0.4, [], []
    for a in range(4):
        for b in range(a):
            d = REWARD[a] - REWARD[b]
            first, second = torch.sigmoid(d - eta).item(), torch.sigmoid(-d - eta).item()
            for label, share in ((1.0, first), (0.0, second), (0.5, 1.0 - first - second)):
                units.append(Pair((0,), (a,), (b,), preference=label))
                weights.append(share)
    objective = PairObjective(LogRatio(), Ties(BETA, eta), label="preference")
    pi = fitted(objective, pairs(units).weighted(weights))
    close(pi, divergences.best_policy(REWARD, REF_LOGP, BETA))


def test_without_a_reference_the_optimum_forgets_it() -> None:
    data = pairs(every_pair(BEATS.tolist()))
    pi = fitted(PairObjective(AvgLogp(), Logistic(BETA), label="preference"), data)
    close(pi, (REWARD / BETA).softmax(-1))


def test_on_one_step_risk_ratio_is_dpo_since_both_answers_see_the_same_risk() -> None:
    data = pairs(every_pair(BEATS.tolist()))
    expected = divergences.best_policy(REWARD, REF_LOGP, BETA)
    for risk in (Mean(), CVaR(0.3)):
        close(
            fitted(PairObjective(RiskRatio(risk), Logistic(BETA), label="preference"), data),
            expected,
        )


@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_pmpo_ends_at_its_mixture_of_positives_negatives_and_reference(alpha: float) -> None:
    beta = 1.5
    good = torch.tensor([0.5, 0.3, 0.1, 0.1], dtype=DOUBLE)
    bad = torch.tensor([0.1, 0.1, 0.3, 0.5], dtype=DOUBLE)
    ones = [Answer((0,), (a,), {"label": 1}) for a in range(4)]
    noes = [Answer((0,), (a,), {"label": 0}) for a in range(4)]
    data = answers(ones + noes).weighted([*(4 * good), *(4 * bad)])
    # A weight is of a whole unit: KL counts once in the mean over units with weight 1.
    objective = RowObjective(
        ((2 * alpha, Nll(label=1)), (-2 * (1 - alpha), Nll(label=0)), (beta, FullKl()))
    )
    pi = fitted(objective, data)
    mixed = alpha * good - (1 - alpha) * bad + beta * REF_LOGP.exp()
    close(pi, mixed / mixed.sum())


def test_negatives_alone_are_learned_from_while_the_kl_holds() -> None:
    bad = torch.tensor([0.4, 0.2, 0.3, 0.1], dtype=DOUBLE)
    data = answers(every_answer(4, label=[0.0] * 4)).weighted(list(4 * bad))
    pi = fitted(RowObjective(((-1.0, Nll(label=0)), (3.0, FullKl()))), data)
    mixed = 3.0 * REF_LOGP.exp() - bad
    close(pi, mixed / mixed.sum())


def test_the_regression_of_a_star_po_is_zero_at_the_tilted_reference() -> None:
    vstar = float(BETA * torch.logsumexp(REF_LOGP + REWARD / BETA, -1))
    data = answers(every_answer(4, reward=REWARD.tolist(), vstar=[vstar] * 4))
    pi = fitted(RowObjective(((1.0, Regress(BETA)),)), data)
    close(pi, divergences.best_policy(REWARD, REF_LOGP, BETA))


def test_optimism_raises_what_pessimism_lowers_and_nothing_is_dpo() -> None:
    """VPO: the sign of the calibration term, on an arm that no pair mentions."""
    seen = [p for p in every_pair(BEATS.tolist()) if 3 not in (p.chosen[0], p.rejected[0])]
    data, calibration = pairs(seen), answers([Answer((0,), (a,)) for a in range(3)])
    found = {}
    for sign in (1.0, 0.0, -1.0):
        objective = PairObjective(
            LogRatio(),
            Logistic(BETA),
            extras=((0.05 * sign, Calibration("samples")),),
            label="preference",
        )
        found[sign] = fitted(objective, data, calibration=calibration)[3]
    assert found[1.0] > found[0.0] > found[-1.0]
    np.testing.assert_allclose(found[0.0], REF_LOGP[3].exp(), atol=0.05)


def test_margins_of_margins_widen_the_pair_that_should_be_wider() -> None:
    start = torch.zeros((2, 2), dtype=DOUBLE)
    data = gaps([(Pair((0,), (0,), (1,)), Pair((1,), (0,), (1,)))])
    policy = Tabular(start)
    fit_preferences(
        policy, PairObjective(LogRatio(), MarginOfMargins(1.0)), data, steps=50, batch=None,
        optimizer=lambda p: torch.optim.SGD(p, lr=1.0),
    )  # fmt: skip
    wide, narrow = policy.probabilities()[:, 0].logit()
    assert wide > 1.0
    np.testing.assert_allclose(wide, -narrow, atol=1e-9)

"""Pairs: scores and links by hand, where losses are smallest, what must cancel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.objectives import divergences as dv
from meritree.objectives import links, rows
from meritree.objectives.extras import Calibration, Nll, ValueMargin
from meritree.objectives.preference import (
    AvgLogp,
    LogRatio,
    PairObjective,
    RewardHead,
    RowObjective,
    StepLogRatio,
)

LN2 = math.log(2.0)
# One pair: ratios 2 * 2 = 4 for the preferred row, 1/2 (second token masked) for the rejected.
PAIR = {
    "logp": np.log([[0.8, 0.5], [0.1, 0.9]]),
    "ref_logp": np.log([[0.4, 0.25], [0.2, 0.3]]),
    "mask": np.array([[True, True], [True, False]]),
}
AT = np.zeros(2, int)
DIFFERENCES = st.lists(st.floats(-8, 8), min_size=1, max_size=4)


def on(backend: Any, batch: dict[str, Any]) -> dict[str, Any]:
    return {key: backend.array(value) for key, value in batch.items()}


SCORES = {
    LogRatio(): [2 * LN2, -LN2],
    LogRatio(mean=True): [LN2, -LN2],
    LogRatio("forward_kl"): [-0.25, -2.0],
    LogRatio("js"): [np.log(1.6), np.log(2 / 3)],
    LogRatio("alpha", 0.5): [1.0, 2 - 2 * np.sqrt(2)],
    AvgLogp(): [np.log(0.4) / 2, np.log(0.1)],
}


@pytest.mark.parametrize("score", SCORES, ids=str)
def test_scores_have_the_values_computed_by_hand(backend: Any, score: Any) -> None:
    got = backend.numpy(score(on(backend, PAIR)))
    np.testing.assert_allclose(got, SCORES[score], rtol=1e-13)
    assert score.needs <= set(PAIR)


def test_a_step_score_counts_the_tokens_of_the_differing_step(backend: Any) -> None:
    batch = {
        **{key: np.concatenate([PAIR[key]] * 2, axis=1) for key in PAIR},
        "step": np.array([[0, 1, 1, -1], [0, 0, 1, 1]]),
        "step_at": np.array([1, 0]),
    }
    got = backend.numpy(StepLogRatio()(on(backend, batch)))
    # Row 0: tokens 1 and 2, ratios 2 and 2. Row 1: token 0 (token 1 is masked), ratio 1/2.
    np.testing.assert_allclose(got, [2 * LN2, -LN2], rtol=1e-13)
    one_step = batch | {"step": np.zeros((2, 4), int), "step_at": np.zeros(2, int)}
    np.testing.assert_allclose(StepLogRatio()(one_step), LogRatio()(one_step))


LINKS = {
    links.Logistic(1.0): np.log(1 + 1 / 8),
    links.Logistic(1 / 3): np.log(1.5),
    links.Logistic(1.0, smoothing=0.25): 0.75 * np.log(9 / 8) + 0.25 * np.log(9),
    links.Logistic(1.0, margin=2 * LN2): np.log(1.5),
    links.Square(0.5): (3 * LN2 - 1) ** 2,
    links.Hinge(0.1): 1 - 0.3 * LN2,
    links.Hinge(1.0): 0.0,
    links.Robust(1.0, 0.25): 1.5 * np.log(9 / 8) - 0.5 * np.log(9),
    links.NoisyLabel(1.0, 0.05): -np.log(0.05 + 0.9 * 8 / 9),
    links.NoisyLabel(1.0, 0.0): np.log(9 / 8),
    links.Ties(1.0, LN2): np.log(1.25),
}


@pytest.mark.parametrize("link", LINKS, ids=str)
def test_links_have_the_values_computed_by_hand(backend: Any, link: Any) -> None:
    d = backend.array([3 * LN2])
    np.testing.assert_allclose(backend.numpy(link(d)), [LINKS[link]], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        backend.numpy(link(-d, backend.array([0.0]))), [LINKS[link]], rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("link", LINKS, ids=str)
@given(DIFFERENCES, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_swapping_both_sides_of_a_pair_changes_nothing(link: Any, d: Any, y: float) -> None:
    x = np.array(d)
    label = np.full(len(d), y)
    np.testing.assert_allclose(link(x, label), link(-x, 1 - label), rtol=1e-10, atol=1e-10)


@given(st.floats(-6, 6), st.floats(0.05, 2))
def test_win_lose_and_tie_are_all_there_is(d: float, eta: float) -> None:
    link = links.Ties(1.0, eta)
    total = sum(np.exp(-link(np.array([d]), np.array([y]))) for y in (1.0, 0.0, 0.5))
    np.testing.assert_allclose(total, 1.0, rtol=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.05, 2))
def test_soft_labels_are_fitted_where_they_should_be(p: float, scale: float) -> None:
    """Log-odds for the logistic link, (p - 1/2) / tau for the square one: slopes vanish there."""
    y, step = np.array([p]), 1e-4
    for link, best in (
        (links.Logistic(scale), np.log(p / (1 - p)) / scale),
        (links.Square(scale), (p - 0.5) / scale),
    ):
        around = [link(np.array([best + k * step]), y)[0] for k in (-1, 0, 1)]
        assert around[1] <= min(around[0], around[2]) + 1e-12


@given(DIFFERENCES, st.floats(0.0, 0.4))
def test_the_robust_link_is_unbiased_under_flipped_labels(d: Any, e: float) -> None:
    x = np.array(d)
    robust, clean = links.Robust(1.0, e), links.Logistic(1.0)
    expected = (1 - e) * robust(x, 1.0) + e * robust(x, 0.0)
    np.testing.assert_allclose(expected, clean(x), rtol=1e-9, atol=1e-9)


def test_the_square_loss_is_zero_only_at_half_over_tau() -> None:
    link = links.Square(0.2)
    np.testing.assert_allclose(link(np.array([2.5])), 0.0)
    assert link(np.array([2.4]))[0] > 0
    assert link(np.array([2.6]))[0] > 0


def test_margin_of_margins_compares_two_gaps(backend: Any) -> None:
    d = backend.array([3 * LN2, 0.0, LN2, 0.0])
    got = backend.numpy(links.MarginOfMargins(1.0)(d))
    np.testing.assert_allclose(got, [np.log(1 + 1 / 4), LN2], rtol=1e-12)
    with pytest.raises(BadInput, match="3 rows are no pairs"):
        links.MarginOfMargins()(np.zeros(3))


def test_votes_and_merged_preferences(backend: Any) -> None:
    votes = backend.array([0.9, 0.5, 0.1])
    np.testing.assert_array_equal(backend.numpy(links.majority(votes)), [1.0, 0.5, 0.0])
    one = backend.array([np.log(3.0)])
    half = backend.array([np.log(9.0)])
    got = backend.numpy(links.merged_preference(one, half, 0.5))
    np.testing.assert_allclose(got, [0.9], rtol=1e-12)


def test_a_pair_objective_adds_its_extras_and_reports(backend: Any) -> None:
    objective = PairObjective(
        LogRatio(),
        links.Logistic(1.0),
        extras=((0.5, Calibration()), (2.0, Nll()), (1.0, ValueMargin(0.5))),
    )
    batch = on(backend, {**PAIR, "row_value": np.array([0.4, 0.2])})
    assert objective.needs == {"logp", "ref_logp", "mask", "row_value"}
    loss, metrics = objective(batch)
    nll = (-np.log(0.4) - np.log(0.1)) / 2
    expected = np.log(9 / 8) + 0.5 * 2 * LN2 + 2.0 * nll + 0.3
    np.testing.assert_allclose(backend.numpy(loss), [expected], rtol=1e-12)
    got = {key: float(value) for key, value in metrics.items()}
    assert got == pytest.approx(
        {
            "chosen": 2 * LN2, "rejected": -LN2, "margin": 3 * LN2, "accuracy": 1.0,
            "Calibration": 2 * LN2, "Nll": nll, "ValueMargin": 0.3,
        }
    )  # fmt: skip


def test_soft_labels_come_from_the_key_they_are_said_to(backend: Any) -> None:
    objective = PairObjective(RewardHead(), links.Logistic(1.0), label="preference")
    batch = {"score": np.array([np.log(4), 0.0, 0.0, LN2]), "preference": np.array([0.25, 0.0])}
    loss, metrics = objective(on(backend, batch))
    expected = [0.25 * np.log(5 / 4) + 0.75 * np.log(5), np.log(1.5)]
    np.testing.assert_allclose(backend.numpy(loss), expected, rtol=1e-12)
    assert float(metrics["accuracy"]) == 0.5
    assert objective.needs == {"score", "preference"}


def test_a_row_objective_is_the_weighted_sum_of_its_terms(backend: Any) -> None:
    """PMPO's likelihood terms: alpha on what succeeded, minus (1 - alpha) on what failed."""
    objective = RowObjective(((0.75, Nll(label=1)), (-0.25, Nll(label=0))))
    batch = on(backend, {"logp": PAIR["logp"], "mask": PAIR["mask"], "label": np.array([1, 0])})
    loss, metrics = objective(batch)
    expected = [-0.75 * np.log(0.4), 0.25 * np.log(0.1)]
    np.testing.assert_allclose(backend.numpy(loss), expected, rtol=1e-12)
    np.testing.assert_allclose(float(metrics["Nll"]), -np.log(0.4) / 2, rtol=1e-12)
    assert len(metrics) == 2


def test_adding_a_reward_of_the_prompt_leaves_pair_losses_unchanged() -> None:
    score = np.array([0.3, -0.2, 0.1, 0.5])
    prompt = np.array([7.0, -3.0, 7.0, -3.0])
    objective = PairObjective(RewardHead(), links.Logistic(1.0))
    plain, shifted = (objective({"score": s})[0] for s in (score, score + prompt))
    np.testing.assert_allclose(plain, shifted, rtol=1e-12)


def test_minimising_a_population_loss_gives_the_closed_form() -> None:
    """f-DPO and IPO on a bandit: descent ends at the exact optimum of the stated problem."""
    import torch

    rng = np.random.default_rng(5)
    ref, reward = rng.dirichlet(np.ones(4) * 3), rng.normal(size=4) * 0.4
    first, second = (x.ravel() for x in np.meshgrid(range(4), range(4), indexing="ij"))
    preferred = 1 / (1 + np.exp(reward[None, :] - reward[:, None]))
    beta = 0.5
    cases: list[tuple[Any, Any, Any]] = [
        (LogRatio(f, 0.5), links.Logistic(beta), dv.best_policy(reward, np.log(ref), beta, f))
        for f in ("reverse_kl", "forward_kl", "js", "alpha")
    ]
    opponent = np.full(4, 0.25)
    ipo = dv.psi_policy(np.log(ref), preferred, opponent, beta)
    cases.append((LogRatio(), links.Square(beta), ipo))
    for score, link, expected in cases:
        logits = torch.tensor(np.log(ref)).requires_grad_()
        optimizer = torch.optim.LBFGS(
            [logits],
            max_iter=300,
            tolerance_grad=1e-12,
            tolerance_change=1e-15,
            line_search_fn="strong_wolfe",
        )
        batch = {
            "ref_logp": torch.tensor(np.log(ref)[np.r_[first, second]][:, None]),
            "mask": torch.ones(32, 1, dtype=torch.float64),
            "preference": torch.tensor(preferred[first, second]),
        }
        objective = PairObjective(score, link, label="preference")

        def closure(logits=logits, batch=batch, objective=objective, optimizer=optimizer):  # type: ignore[no-untyped-def]
            optimizer.zero_grad()
            logp = logits.log_softmax(0)[np.r_[first, second]][:, None]
            loss = objective(batch | {"logp": logp})[0].mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        np.testing.assert_allclose(
            logits.detach().softmax(0).numpy(), expected, atol=2e-5, err_msg=f"{score} {link}"
        )


def test_impossible_parameters_and_batches_are_refused() -> None:
    for make, words in (
        (lambda: links.Logistic(0.0), "beta is 0.0"),
        (lambda: links.Logistic(1.0, smoothing=0.5), "share of wrong labels of 0.5"),
        (lambda: links.Logistic(1.0, margin=-1), "margin is -1"),
        (lambda: links.Square(float("inf")), "tau is inf"),
        (lambda: links.Ties(1.0, 0.0), "eta is 0.0"),
        (lambda: links.NoisyLabel(1.0, -0.1), "share of wrong labels of -0.1"),
        (lambda: LogRatio("tv"), "f is 'tv'"),
        (lambda: LogRatio("alpha", 1.0), "alpha is 1.0"),
        (lambda: LogRatio()({"logp": np.zeros((2, 2))}), "needs the key 'ref_logp'"),
        (lambda: PairObjective(RewardHead(), links.Square())({"score": np.zeros(3)}), "3 rows"),
        (lambda: LogRatio()(PAIR | {"mask": np.ones((2, 3))}), r"mask has shape \(2, 3\)"),
        (lambda: StepLogRatio()({**PAIR, "step": PAIR["logp"], "step_at": AT}), "step has dtype"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=words):
            make()


def test_agg_has_the_values_computed_by_hand(backend: Any) -> None:
    x = backend.array([[1.0, 2.0, 9.0], [3.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    mask = backend.array([[True, True, False], [True, False, False], [False, False, False]])
    by_hand = {"token": 2.0, "seq_mean": 1.5, "seq_sum": 2.0, "const": 0.5}
    for how, expected in by_hand.items():
        got = rows.agg(x, mask, how, const=4)  # type: ignore[arg-type]
        np.testing.assert_allclose(float(got), expected)
    empty = rows.agg(x, backend.array(np.zeros((3, 3), int)))
    assert float(empty) == 0.0
    with pytest.raises(BadInput, match="got 0; give a length"):
        rows.agg(x, mask, "const")
    with pytest.raises(BadInput, match="how is 'mean'"):
        rows.agg(x, mask, "mean")  # type: ignore[arg-type]

"""The world of S031: programs that run, scores that are kept, judges and proposers."""

from __future__ import annotations

import ast
import asyncio
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from meritree.respond import Reply, Request, ScriptedModel, Usage
from meritree.run.ledger import Limits
from meritree.search.introspective import introspective_search
from meritree.search.worlds import Proposal, Step, View
from meritree.studies.search.pipeline_judges import (
    RUBRIC,
    Introspective,
    ModelJudge,
    NoisyJudge,
    StaticPool,
)
from meritree.studies.search.pipeline_options import STAGES, Kind, Plan, options, source, whole
from meritree.studies.search.pipelines import (
    Pipelines,
    Score,
    Scores,
    Trial,
    alike,
    execute,
    random_plan,
)
from meritree.value.estimate import Estimate

# ------------------------------------------------------------------ programs


def test_there_are_about_ten_thousand_plans() -> None:
    assert math.prod(len(stage.options) for stage in STAGES) == 9216


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_every_option_is_python_and_stands_in_the_program(kind: Kind) -> None:
    for place, stage in enumerate(STAGES):
        for option in stage.options:
            plan = (*(each.options[0].name for each in STAGES[:place]), option.name)
            program = source(plan, kind)
            ast.parse(program)
            assert option.snippet(kind) in program
            assert "{" not in option.snippet(kind)


def test_undecided_stages_do_what_comes_first() -> None:
    assert whole(()) == tuple(stage.options[0].name for stage in STAGES)
    assert source((), "regression") == source(whole(()), "regression")
    assert [option.name for option in options(("power",))][1:] == list(whole(())[1:])


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_a_program_runs_as_it_would_by_hand(name: str) -> None:
    import numpy as np
    from sklearn import datasets
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    shuffled = np.random.default_rng(0).permutation(len(y))
    X, y = X[shuffled], y[shuffled]
    if name == "iris":
        folds = StratifiedKFold(3, shuffle=True, random_state=0)
        by_hand = cross_val_score(LogisticRegression(max_iter=1000), X, y, cv=folds).mean()
    else:
        error = cross_val_score(
            Ridge(1.0),
            X,
            (y - y.mean()) / y.std(),
            cv=KFold(3, shuffle=True, random_state=0),
            scoring="neg_root_mean_squared_error",
        )
        by_hand = 1.0 / (1.0 - error.mean())
    assert Scores(name, None)(()).dev == pytest.approx(by_hand, abs=1e-3)


def test_a_program_that_raises_scores_nothing_and_says_why() -> None:
    broken = source((), "classification").replace("make_pipeline(*steps", "make_pipeline(3, *steps")
    score = execute(broken, "iris")
    assert (score.dev, score.train) == (0.0, 0.0)
    assert score.said.startswith("TypeError")


def test_scores_are_kept_on_disk_by_program(tmp_path: Path) -> None:
    first = Scores("iris", tmp_path)
    score = first(("standardise",))
    assert first(("standardise", "all columns")) == score
    assert first.runs == 1
    with (tmp_path / "iris.jsonl").open("a") as file:
        file.write('["half a li')
    again = Scores("iris", tmp_path)
    assert again(("standardise",)) == score
    assert again.runs == 0
    assert Scores("iris", None)(("standardise",)) == score


def test_the_search_runs_on_real_programs_and_pays_each_once(tmp_path: Path) -> None:
    scores = Scores("iris", tmp_path)
    found = asyncio.run(
        introspective_search(
            Pipelines(),
            Introspective(0),
            None,
            Trial(scores),
            budget=Limits(evaluations=4),
            alike=alike,
        )
    )
    assert scores.runs == sum(one.fresh for one in found.rollouts) == 4
    rewards = {whole(found.states[one.node]): one.reward for one in found.rollouts}
    assert rewards == {plan: scores(plan).dev for plan in rewards}
    assert scores(found.best).dev == max(rewards.values())


# ------------------------------------------------------------------ proposers


def views(policy: Introspective | StaticPool, report: Estimate | None) -> Iterator[list[str]]:
    """The children of 40 model stages, as each would be expanded."""
    for seed in range(40):
        state = random_plan(random.Random(seed), 2)
        names: list[str] = []
        for _ in range(5):
            view = View(state, 2, tuple(Proposal(name) for name in names), (), report)
            names.append(asyncio.run(policy.propose(view, 1))[0].action)
        yield names


def lean(report: Estimate | None) -> float:
    model = STAGES[2]
    return sum(model.option(n).lean for names in views(Introspective(0), report) for n in names)


def test_proposals_that_see_their_siblings_never_repeat_one_and_a_static_pool_does() -> None:
    assert all(len(set(names)) == 5 for names in views(Introspective(0), None))
    assert any(len(set(names)) < 5 for names in views(StaticPool(0), None))


def test_a_report_of_overfitting_calls_for_simpler_options() -> None:
    overfit = Estimate(0.8, channels={"dev": 0.8, "train": 1.0})
    sound = Estimate(0.8, channels={"dev": 0.8, "train": 0.8})
    assert lean(overfit) < lean(None) < lean(sound)


def test_nothing_is_proposed_when_all_is_decided() -> None:
    plan = random_plan(random.Random(0))
    for policy in (Introspective(0), StaticPool(0)):
        assert not asyncio.run(policy.propose(View(plan, len(plan), (), ()), 1))


# ------------------------------------------------------------------ judges


def invented(plan: Plan) -> Score:
    return Score(random.Random(str(whole(plan))).random() ** 2, 0.0)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_a_noisy_judge_has_the_rank_correlation_it_is_asked_for(rho: float) -> None:
    from scipy.stats import spearmanr

    rng = random.Random(0)
    plans = list({random_plan(rng) for _ in range(4000)})
    truth = [invented(plan).dev for plan in plans]
    judge = NoisyJudge(invented, sorted(truth), rho, seed=1)  # type: ignore[arg-type]
    said = [judge.judge(plan) for plan in plans]
    assert spearmanr(truth, said).statistic == pytest.approx(rho, abs=0.04)
    # Judgements are spread as scores are.
    assert sum(said) / len(said) == pytest.approx(sum(truth) / len(truth), abs=0.02)
    assert [judge.judge(plan) for plan in plans[:50]] == said[:50]


def reply(points: dict[str, float]) -> str:
    return json.dumps({name: {"points": p, "reason": f"{name} so"} for name, p in points.items()})


def judged(*script: Reply | str) -> tuple[Estimate, list[Request]]:
    model = ScriptedModel(script)
    judge = ModelJudge(model, "Tell three kinds of iris apart.", "classification")
    estimate = asyncio.run(judge(Step(("standardise",))))
    return estimate, model.requests


def test_a_model_judges_by_a_rubric_and_its_reasons_are_kept() -> None:
    half = {name: most / 2 for name, most in RUBRIC.items()}
    estimate, requests = judged(Reply(f"Well:\n```json\n{reply(half)}\n```", usage=Usage(100, 20)))
    assert estimate.mean == pytest.approx(0.5)
    assert estimate.channels == dict.fromkeys(RUBRIC, 0.5)
    assert estimate.reasons["training"] == "training so"
    assert estimate.cost.tokens == 120
    asked = requests[0].messages[-1].text
    assert "three kinds of iris" in asked
    assert source(("standardise",), "classification") in asked
    assert all(name in requests[0].messages[0].text for name in RUBRIC)


def test_points_beyond_a_criterions_range_are_cut() -> None:
    wild = {**dict.fromkeys(RUBRIC, 1e9), "training": -50.0}
    estimate, _ = judged(reply(wild))
    assert estimate.mean == pytest.approx(1.0 - RUBRIC["training"] / 100)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "I like it.",
        "{}",
        '{"training": 3}',
        "[1, 2]",
        '{"total_score": 90}',
        "{" * 200,
        reply({**dict.fromkeys(RUBRIC, 1.0), "training": float("nan")}),
    ],
)
def test_a_reply_without_points_is_asked_for_again_and_then_worth_nothing(bad: str) -> None:
    good = reply({name: float(most) for name, most in RUBRIC.items()})
    estimate, requests = judged(bad, good)
    assert (estimate.mean, len(requests)) == (pytest.approx(1.0), 2)
    estimate, requests = judged(bad, bad, bad)
    assert (estimate.mean, len(requests)) == (0.0, 3)
    assert "no readable points" in estimate.reasons["judge"]

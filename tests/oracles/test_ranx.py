"""Fusion and metrics against ranx, an independent library.

Its first call compiles for minutes, so that these run only when asked for:
MERITREE_ORACLES=1 pytest tests/oracles (needs the extra [oracles]).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.stats.retrieval import (
    average_precision_at,
    ndcg_at,
    r_precision,
    recall_at,
    reciprocal_rank_at,
)
from meritree.value.fuse import fuse, normalise

pytestmark = pytest.mark.skipif(
    "MERITREE_ORACLES" not in os.environ, reason="set MERITREE_ORACLES=1 to ask other libraries"
)
SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-40, 40), min_size=1)


@settings(deadline=None, max_examples=60)
@given(x=SCORES, y=SCORES)
def test_fusions_agree_with_ranx(x: dict[str, int], y: dict[str, int]) -> None:
    ranx = pytest.importorskip("ranx")
    # Distinct scores: ranx ranks ties by their order of appearance.
    lists = {
        name: {one: score + i / 100 for i, (one, score) in enumerate(own.items())}
        for name, own in (("x", x), ("y", y))
    }
    runs = [ranx.Run({"q": {k: float(v) for k, v in own.items()}}) for own in lists.values()]
    theirs = dict(ranx.fuse(runs=runs, norm=None, method="rrf", params={"k": 60}).run["q"])
    assert dict(fuse(lists, "rrf")) == pytest.approx(theirs)
    for how, norm in (("minmax", "min-max"), ("none", None)):
        theirs = dict(ranx.fuse(runs=runs, norm=norm, method="sum").run["q"])
        ours = {name: normalise(own, how) for name, own in lists.items()}  # type: ignore[arg-type]
        if how == "minmax":  # ranx gives equal scores 0, the paper's code 1
            ours = {n: o if len(o) > 1 else dict.fromkeys(o, 0.0) for n, o in ours.items()}
        assert dict(fuse(ours, "weighted")) == pytest.approx(theirs, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.permutations([f"d{i}" for i in range(8)]), st.sets(st.integers(0, 9), min_size=1))
def test_metrics_agree_with_ranx(ranked: list[str], right: set[int]) -> None:
    ranx = pytest.importorskip("ranx")
    answers = {f"d{i}" for i in right}
    qrels = ranx.Qrels({"q": dict.fromkeys(answers, 1)})
    run = ranx.Run({"q": {one: float(-i) for i, one in enumerate(ranked)}})
    names = ["recall@5", "mrr@5", "map@5", "ndcg@5", "r-precision"]
    theirs = ranx.evaluate(qrels, run, names)
    assert {
        "recall@5": recall_at(5, ranked, answers),
        "mrr@5": reciprocal_rank_at(5, ranked, answers),
        "map@5": average_precision_at(5, ranked, answers),
        "ndcg@5": ndcg_at(5, ranked, answers),
        "r-precision": r_precision(ranked, answers),
    } == {name: pytest.approx(float(theirs[name])) for name in names}

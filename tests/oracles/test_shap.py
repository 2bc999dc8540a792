"""Shapley values of linear models against shap, an independent library.

Importing it compiles for a while, so that these run only when asked for:
MERITREE_ORACLES=1 pytest tests/oracles (needs the extra [oracles]).
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from meritree.value.games import linear_conditional, linear_interventional

pytestmark = pytest.mark.skipif(
    "MERITREE_ORACLES" not in os.environ, reason="set MERITREE_ORACLES=1 to ask other libraries"
)


def test_linear_models_get_the_shares_that_shap_gives() -> None:
    shap = pytest.importorskip("shap")
    rng = np.random.default_rng(3)
    root = rng.standard_normal((6, 6))
    data = rng.standard_normal((500, 6)) @ root + rng.standard_normal(6)
    beta, x = rng.standard_normal(6), data[:20]
    mean, covariance = data.mean(axis=0), np.cov(data, rowvar=False)
    masker = shap.maskers.Independent(data, max_samples=len(data))
    theirs = shap.LinearExplainer((beta, 0.5), masker).shap_values(x)
    assert linear_interventional(beta, x, mean).values == pytest.approx(theirs)

    masker = shap.maskers.Impute({"mean": mean, "cov": covariance})
    theirs = shap.LinearExplainer((beta, 0.5), masker, nsamples=20_000).shap_values(x)
    ours = linear_conditional(beta, x, mean, covariance).values
    sampled = linear_conditional(beta, x, mean, covariance, "permutation", samples=20_000)
    # shap samples orders as well: equal within four of its standard errors, which are ours.
    assert np.all(np.abs(ours - theirs) < 4.0 * sampled.std_errors + 1e-9)

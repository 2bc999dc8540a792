"""Exact claims of S016: minimisers, limits and invariances of the losses, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from meritree.objectives import regression
from meritree.rl.envs.money import BachelierHedge, quadratic_solution

LAW = stats.gamma(2.0)  # E exp(-X) = 1/4: the certainty equivalent with a = 1 is 2 log 2


def mean(function: object) -> float:
    return integrate.quad(lambda x: function(x) * LAW.pdf(x), 0.0, 60.0)[0]  # type: ignore[operator]


def test_the_minimiser_is_the_certainty_equivalent_of_a_law_that_is_not_normal() -> None:
    def loss(v: float) -> float:
        one = np.asarray
        return mean(lambda x: float(regression.itakura_saito(one(v), one(x), 1.0)))

    found = optimize.minimize_scalar(loss, bounds=(0.5, 2.5), method="bounded").x
    assert found == pytest.approx(2.0 * math.log(2.0), abs=1e-4)


def test_the_softplus_rule_has_another_fixed_point_unless_the_law_is_normal() -> None:
    def slope(v: float) -> float:
        return mean(lambda x: (v - x) / (1.0 + math.exp(x - v)))

    found = optimize.brentq(slope, 0.2, 2.0)
    assert abs(found - 2.0 * math.log(2.0)) > 0.1

    # N(m, s^2): the certainty equivalent is m - s^2/2, and the rule finds it.
    x, w = np.polynomial.hermite_e.hermegauss(120)
    w = w / w.sum()
    x = 0.3 + 0.8 * x
    normal = optimize.brentq(lambda v: float(np.sum(w * (v - x) / (1.0 + np.exp(x - v)))), -3, 3)
    assert normal == pytest.approx(0.3 - 0.32, abs=1e-6)


def test_without_risk_aversion_it_is_half_the_square() -> None:
    d = np.linspace(-2.0, 2.0, 41)
    np.testing.assert_allclose(regression.itakura_saito(d, 0 * d, 1e-3), 0.5 * d**2, atol=2e-3)


def test_a_constant_added_to_everything_changes_nothing_but_the_exponential_mse() -> None:
    v, y = np.asarray([0.3, -0.5]), np.asarray([0.1, 0.4])
    kept = regression.itakura_saito(v + 5.0, y + 5.0, 2.0)
    np.testing.assert_allclose(kept, regression.itakura_saito(v, y, 2.0), rtol=1e-9)
    other = regression.exponential_squared(v + 5.0, y + 5.0, 2.0)
    assert np.all(other < 1e-6 * regression.exponential_squared(v, y, 2.0))


def test_the_closed_form_of_the_hedge_is_the_certainty_equivalent_of_what_is_left() -> None:
    """Holding x leaves minus the sum of Z^2/2."""
    env, a = BachelierHedge(), 4.0
    z = stats.norm(0.0, env.sigma)
    one = integrate.quad(lambda x: math.exp(0.5 * a * x * x) * z.pdf(x), -4.0, 4.0)[0]
    assert float(quadratic_solution(env, 0, 0.0, a)[1]) == pytest.approx(  # type: ignore[arg-type]
        -env.steps * math.log(one) / a, rel=1e-6
    )

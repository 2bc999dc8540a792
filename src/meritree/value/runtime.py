"""What a runtime is worth: utilities of time to solution, and scores of samples of runs.

After Graham, Leyton-Brown and Roughgarden (ICML 2023, arXiv 2205.13028): an algorithm is worth
E u(t), where u(t) = P(captime > t) for a solution that is worth 1 before an uncertain captime
and 0 after it. Time may be any cost that grows (seconds, evaluations). Pure Python.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from meritree.errors import BadInput

_NORMAL = NormalDist()


class Utility(Protocol):
    """u(t): decreasing from 1 to 0, 0 at infinity."""

    def __call__(self, t: float) -> float: ...

    def inverse(self, worth: float) -> float:
        """The time after which a solution is worth at most ``worth``, in (0, 1]."""
        ...


@dataclass(frozen=True)
class Uniform:
    """u(t) = (1 - t/k0)_+: the captime is uniform on [0, k0].

    Attributes:
        k0: latest captime, > 0.
    """

    k0: float

    def __post_init__(self) -> None:
        _positive("k0", self.k0)

    def __call__(self, t: float) -> float:
        return max(0.0, 1.0 - _time(t) / self.k0)

    def inverse(self, worth: float) -> float:
        return self.k0 * (1.0 - _worth(worth))


@dataclass(frozen=True)
class Exponential:
    """u(t) = exp(-t/k0): the captime is exponential.

    Attributes:
        k0: mean captime, > 0.
    """

    k0: float

    def __post_init__(self) -> None:
        _positive("k0", self.k0)

    def __call__(self, t: float) -> float:
        return math.exp(-_time(t) / self.k0)

    def inverse(self, worth: float) -> float:
        return -self.k0 * math.log(_worth(worth))


@dataclass(frozen=True)
class Pareto:
    """u(t) = min(1, (k0/t)^a): never stopped before k0.

    Attributes:
        k0: earliest captime, > 0.
        a: tail exponent, > 0.
    """

    k0: float
    a: float

    def __post_init__(self) -> None:
        _positive("k0", self.k0)
        _positive("a", self.a)

    def __call__(self, t: float) -> float:
        return 1.0 if _time(t) <= self.k0 else math.pow(self.k0 / t, self.a)

    def inverse(self, worth: float) -> float:
        return self.k0 * math.pow(_worth(worth), -1.0 / self.a)


@dataclass(frozen=True)
class LogLaplace:
    """log(captime/k0) is Laplace, with rate b below k0 and a above; P(captime < k0) = a/(a+b).

    Attributes:
        k0: the captime's mode on the logarithmic scale, > 0.
        a: tail exponent above k0, > 0.
        b: exponent below k0, > 0.
    """

    k0: float
    a: float
    b: float

    def __post_init__(self) -> None:
        for name in ("k0", "a", "b"):
            _positive(name, getattr(self, name))

    def __call__(self, t: float) -> float:
        total = self.a + self.b
        if _time(t) < self.k0:
            return 1.0 - self.a / total * math.pow(t / self.k0, self.b)
        return self.b / total * math.pow(self.k0 / t, self.a)

    def inverse(self, worth: float) -> float:
        total = self.a + self.b
        if _worth(worth) > self.b / total:
            return self.k0 * math.pow((1.0 - worth) * total / self.a, 1.0 / self.b)
        return self.k0 * math.pow(self.b / (total * worth), 1.0 / self.a)


@dataclass(frozen=True)
class LogNormal:
    """log(captime) is normal with mean log(k0).

    Attributes:
        k0: median captime, > 0.
        sigma: standard deviation of its logarithm, > 0.
    """

    k0: float
    sigma: float

    def __post_init__(self) -> None:
        _positive("k0", self.k0)
        _positive("sigma", self.sigma)

    def __call__(self, t: float) -> float:
        if _time(t) == 0.0:
            return 1.0
        if t == math.inf:
            return 0.0
        return _NORMAL.cdf((math.log(self.k0) - math.log(t)) / self.sigma)

    def inverse(self, worth: float) -> float:
        if _worth(worth) == 1.0:
            return 0.0
        return self.k0 * math.exp(-self.sigma * _NORMAL.inv_cdf(worth))


@dataclass(frozen=True)
class Piecewise:
    """The captime is uniform on [0, k1] with probability delta and on [k1, k0] otherwise.

    Attributes:
        k0: latest captime.
        k1: 0 < k1 < k0.
        delta: P(captime < k1), in [0, 1].
    """

    k0: float
    k1: float
    delta: float

    def __post_init__(self) -> None:
        if not 0.0 < self.k1 < self.k0 < math.inf or not 0.0 <= self.delta <= 1.0:
            raise BadInput(
                f"k1={self.k1}, k0={self.k0}, delta={self.delta}: need 0 < k1 < k0 and delta in "
                "[0, 1]"
            )

    def __call__(self, t: float) -> float:
        if _time(t) < self.k1:
            return 1.0 - self.delta * t / self.k1
        share = (min(t, self.k0) - self.k1) / (self.k0 - self.k1)
        return (1.0 - self.delta) * (1.0 - share)

    def inverse(self, worth: float) -> float:
        if _worth(worth) > 1.0 - self.delta:
            return self.k1 * (1.0 - worth) / self.delta
        if self.delta == 1.0:
            return self.k1
        return self.k0 - (self.k0 - self.k1) * worth / (1.0 - self.delta)


@dataclass(frozen=True)
class Logarithmic:
    """u(t) = (1 - log(1 + t)/log(1 + k0))_+: each doubling of a long time costs the same.

    Attributes:
        k0: latest captime, > 0, in a unit in which 1 is short.
    """

    k0: float

    def __post_init__(self) -> None:
        _positive("k0", self.k0)

    def __call__(self, t: float) -> float:
        return max(0.0, 1.0 - math.log1p(_time(t)) / math.log1p(self.k0))

    def inverse(self, worth: float) -> float:
        return math.expm1((1.0 - _worth(worth)) * math.log1p(self.k0))


# What is known of the captime determines its law of largest entropy.


def from_bound(k0: float) -> Uniform:
    """Only known: the captime is at most k0."""
    return Uniform(k0)


def from_mean(mean: float) -> Exponential:
    """Only known: E captime."""
    return Exponential(mean)


def from_bound_and_share(k0: float, k1: float, delta: float) -> Piecewise:
    """Known: captime <= k0 and P(captime < k1) = delta."""
    return Piecewise(k0, k1, delta)


def from_log_excess(k0: float, excess: float) -> Pareto:
    """Known: captime >= k0 and E log(captime/k0) = excess; entropy of log captime."""
    _positive("excess", excess)
    return Pareto(k0, 1.0 / excess)


def from_log_deviations(k0: float, above: float, below: float) -> LogLaplace:
    """Known: E log(captime/k0)_+ = above, E log(k0/captime)_+ = below; entropy of log captime."""
    _positive("above", above)
    _positive("below", below)
    ratio = math.sqrt(above / below)
    a = ratio / (above * (1.0 + ratio))
    return LogLaplace(k0, a, a * ratio)


def from_log_moments(k0: float, sigma: float) -> LogNormal:
    """Known: mean log(k0) and deviation sigma of log captime; entropy of log captime."""
    return LogNormal(k0, sigma)


@dataclass(frozen=True)
class Runs:
    """What was seen of an algorithm on a sample of instances.

    Attributes:
        solved: times to solution, >= 0.
        stopped: times at which the other runs were stopped unsolved (censored, never missing).
    """

    solved: tuple[float, ...]
    stopped: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("solved", "stopped"):
            for t in getattr(self, name):
                if not 0.0 <= t < math.inf:
                    raise BadInput(f"{name} has {t}: times are finite and >= 0")
        if not self.solved and not self.stopped:
            raise BadInput("no runs: give at least one time in solved or stopped")

    @classmethod
    def of(cls, times: Iterable[float | None], cap: float) -> Runs:
        """From times to solution where None means stopped at ``cap``; later solutions count so."""
        times = tuple(times)
        solved = tuple(t for t in times if t is not None and t <= cap)
        return cls(solved, (cap,) * (len(times) - len(solved)))

    @property
    def n(self) -> int:
        """How many runs."""
        return len(self.solved) + len(self.stopped)

    def capped(self, cap: float) -> Runs:
        """The same runs, had each been stopped at ``cap``."""
        late = sum(t > cap for t in self.solved)
        stopped = (*(min(t, cap) for t in self.stopped), *(cap,) * late)
        return Runs(tuple(t for t in self.solved if t <= cap), stopped)


@dataclass(frozen=True)
class Worth:
    """Mean utility of a sample.

    Attributes:
        low: unsolved runs count 0, as if they never ended: the score.
        high: unsolved runs count as if they had ended when they were stopped.
        n: how many runs.
    """

    low: float
    high: float
    n: int

    def interval(self, delta: float = 0.05) -> tuple[float, float]:
        """Holds E u with probability >= 1 - delta whatever the law of runtimes (Hoeffding)."""
        radius = math.sqrt(math.log(2.0 / _share("delta", delta)) / (2.0 * self.n))
        return max(0.0, self.low - radius), min(1.0, self.high + radius)


def worth(utility: Utility, runs: Runs) -> Worth:
    """The sample's expected utility, with the room that stopped runs leave."""
    sure = math.fsum(utility(t) for t in runs.solved)
    open_ = math.fsum(utility(t) for t in runs.stopped)
    return Worth(sure / runs.n, min(1.0, (sure + open_) / runs.n), runs.n)


def required_samples(eps: float, delta: float) -> int:
    """How many runs give E u within eps with probability 1 - delta: ln(2/delta)/(2 eps^2)."""
    return math.ceil(math.log(2.0 / _share("delta", delta)) / (2.0 * _share("eps", eps) ** 2))


def captime(utility: Utility, eps: float) -> float:
    """Where runs may be stopped so that the score errs by at most eps: u^-1(eps)."""
    return utility.inverse(_share("eps", eps))


def penalised_mean(runs: Runs, factor: float = 10.0) -> float:
    """PAR: mean time, a stopped run counted as ``factor`` times its cap (1: the capped mean)."""
    return (math.fsum(runs.solved) + factor * math.fsum(runs.stopped)) / runs.n


def median_time(runs: Runs) -> float:
    """Lower median, infinite where fewer than half are solved."""
    rank = (runs.n + 1) // 2
    ordered: Sequence[float] = sorted(runs.solved)
    return ordered[rank - 1] if rank <= len(ordered) else math.inf


def solved_share(runs: Runs, cap: float) -> float:
    """Share of runs solved within ``cap``."""
    return sum(t <= cap for t in runs.solved) / runs.n


def _positive(name: str, value: float) -> None:
    if not 0.0 < value < math.inf:
        raise BadInput(f"{name}={value}: must be finite and above 0")


def _time(t: float) -> float:
    if not t >= 0.0:
        raise BadInput(f"time {t}: must be >= 0 (math.inf for a run that never ended)")
    return t


def _worth(value: float) -> float:
    if not 0.0 < value <= 1.0:
        raise BadInput(f"worth={value}: must lie in (0, 1]")
    return value


def _share(name: str, value: float) -> float:
    if not 0.0 < value < 1.0:
        raise BadInput(f"{name}={value}: must lie in (0, 1)")
    return value

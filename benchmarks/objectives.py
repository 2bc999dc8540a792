"""CPU time of our objectives against rlax's, both under ``jit`` on JAX, value and gradient.

    python benchmarks/objectives.py [--repeats 41] [--only NAME ...]

Both sides run in turns in one process on the same arrays; the figure is the median over repeats of
the ratio of CPU times (ours / theirs), with its quartiles. Also: what the checks on entry cost per
call where nothing is compiled. Prints a table; writes benchmarks/results/objectives.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from meritree.run.commit import commit

# One thread, so that CPU time is the work done; must be set before JAX is imported.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("NPROC", "1")  # XLA's pool of workers, which no flag of its bounds
os.environ.setdefault("OMP_NUM_THREADS", "1")

TARGET = 1.05
BUDGET = 4e-3  # CPU seconds per timing


class Pair(NamedTuple):
    """One objective and its peer: functions of the same arguments without compilation."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    arguments: tuple[Any, ...]
    finish: Callable[[Any], Any]  # waits until the result is there
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]]


def rlax_pairs() -> list[Pair]:
    """Batches for us, the same batches through ``vmap`` for rlax."""
    warnings.simplefilter("ignore")
    import jax
    import jax.numpy as jnp
    import numpy as np
    import rlax

    from meritree.objectives import advantages, distributional, policy, projections, regression, td
    from meritree.objectives._namespace import take

    rng = np.random.default_rng(0)
    rows, steps, width, actions, atoms = 1024, 64, 256, 6, 51

    def normal(*shape: int) -> Any:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    def integers(*shape: int) -> Any:
        return jnp.asarray(rng.integers(0, actions, shape), jnp.int32)

    q, q_t, selector = (normal(rows, actions) for _ in range(3))
    a, r, d = integers(rows), normal(rows), jnp.full((rows,), 0.99)
    pi = jax.nn.softmax(normal(rows, actions))
    rs, ds, v = normal(steps, width), jnp.full((steps, width), 0.99), normal(steps + 1, width)
    rho = jnp.exp(normal(steps, width))
    logits, logits_t = normal(256, actions, atoms), normal(256, actions, atoms)
    z = jnp.linspace(-10.0, 10.0, atoms)
    zs = jnp.broadcast_to(z, (256, atoms))
    theta, theta_t = normal(256, 32, actions), normal(256, 32, actions)
    tau = jnp.broadcast_to(projections.quantile_midpoints(32, z), (256, 32))
    a256, r256, d256 = a[:256], r[:256], d[:256]
    stop = jax.lax.stop_gradient
    in_time = partial_time(jax)
    pairs: list[Pair] = []

    def add(name: str, ours: Any, theirs: Any, *arguments: Any, gradient: bool = True) -> None:
        """The value; and the gradient of its sum in the first argument."""
        pairs.append(Pair(name, ours, theirs, arguments, jax.block_until_ready, jax.jit))
        if gradient:
            both = (jax.grad(lambda *x, f=f: jnp.sum(f(*x))) for f in (ours, theirs))
            pairs.append(
                Pair(f"{name}, gradient", *both, arguments, jax.block_until_ready, jax.jit)
            )

    def q_loss(q: Any, a: Any, target: Any) -> Any:
        return regression.squared(take(jnp, q, a), stop(target))

    add("q-learning loss",
        lambda q, a, r, d, q_t: q_loss(q, a, td.q_learning_target(r, d, q_t)),
        lambda *x: rlax.l2_loss(jax.vmap(rlax.q_learning)(*x)),
        q, a, r, d, q_t)  # fmt: skip
    add("double q-learning loss",
        lambda q, a, r, d, q_t, s: q_loss(q, a, td.double_q_target(r, d, q_t, s)),
        lambda *x: rlax.l2_loss(jax.vmap(rlax.double_q_learning)(*x)),
        q, a, r, d, q_t, selector)  # fmt: skip
    add("expected SARSA loss",
        lambda q, a, r, d, q_t, pi: q_loss(q, a, td.expected_sarsa_target(r, d, q_t, pi)),
        lambda *x: rlax.l2_loss(jax.vmap(rlax.expected_sarsa)(*x)),
        q, a, r, d, q_t, pi)  # fmt: skip
    add("huber", lambda x, y: regression.huber(x, y), lambda x, y: rlax.huber_loss(x - y), q, q_t)
    add("expectile", lambda x, y: regression.expectile(x, y, 0.7),
        lambda x, y: rlax.expectile_loss(x, y, 0.7), q, q_t)  # fmt: skip
    add("lambda-returns",
        lambda r, d, v: td.lambda_returns(r, d, v, False, 0.95),
        in_time(lambda r, d, v: rlax.lambda_returns(r, d, v, 0.95)),
        rs, ds, v[1:], gradient=False)  # fmt: skip
    add("5-step returns",
        lambda r, d, v: td.n_step_returns(r, d, v, False, 5),
        in_time(lambda r, d, v: rlax.n_step_bootstrapped_returns(r, d, v, 5)),
        rs, ds, v[1:], gradient=False)  # fmt: skip
    add("gae",
        lambda r, d, v: advantages.gae(r, d, v[:-1], v[1:], False, 0.95),
        in_time(lambda r, d, v: rlax.truncated_generalized_advantage_estimation(r, d, 0.95, v)),
        rs, ds, v, gradient=False)  # fmt: skip
    add("v-trace",
        lambda v, r, d, rho: td.v_trace(r, d, v[:-1], v[1:], rho, False),
        in_time(lambda v, r, d, rho: rlax.vtrace_td_error_and_advantage(v[:-1], v[1:], r, d, rho)),
        v, rs, ds, rho, gradient=False)  # fmt: skip

    def c51(logits: Any, a: Any, r: Any, d: Any, logits_t: Any) -> Any:
        p = jax.nn.softmax(logits_t)
        p = take(jnp, p, jnp.argmax(p @ z, axis=-1), trailing=1)
        image = projections.categorical(p, r[:, None] + d[:, None] * z, z)
        return distributional.cross_entropy(take(jnp, logits, a, trailing=1), stop(image))

    add("C51 loss", c51,
        lambda logits, a, r, d, logits_t: jax.vmap(rlax.categorical_q_learning)(
            zs, logits, a, r, d, zs, logits_t),
        logits, a256, r256, d256, logits_t)  # fmt: skip
    add("two-hot", lambda y: projections.two_hot(y, z),
        lambda y: rlax.transform_to_2hot(y, -10.0, 10.0, atoms),
        normal(rows) * 5.0, gradient=False)  # fmt: skip

    def qr(theta: Any, a: Any, r: Any, d: Any, theta_t: Any) -> Any:
        # The layout of rlax, quantiles before actions, so that both read the same arrays.
        best = jnp.argmax(jnp.mean(theta_t, axis=1), axis=-1)
        pick = lambda x, i: jnp.take_along_axis(x, i[:, None, None], axis=2)[..., 0]  # noqa: E731
        target = r[:, None] + d[:, None] * pick(theta_t, best)
        return distributional.quantile_huber(pick(theta, a), tau[0], stop(target))

    add("QR-DQN loss", qr,
        lambda theta, a, r, d, theta_t: jax.vmap(
            lambda x, t, a, r, d, y: rlax.quantile_q_learning(x, t, a, r, d, y, y, 1.0)
        )(theta, tau, a, r, d, theta_t),
        theta, a256, r256, d256, theta_t)  # fmt: skip
    add("ppo clip", lambda x, y: policy.ppo_clip(x, 0.0 * x, y).mean(),
        lambda x, y: rlax.clipped_surrogate_pg_loss(jnp.exp(x), y, 0.2),
        r, normal(rows))  # fmt: skip
    add("policy gradient",
        lambda x, a, y: policy.reinforce(policy.categorical_log_prob(x, a), y).mean(),
        lambda x, a, y: rlax.policy_gradient_loss(x, a, y, jnp.ones_like(y)), q, a, r)  # fmt: skip
    add("entropy", lambda x: -policy.categorical_entropy(x).mean(),
        lambda x: rlax.entropy_loss(x, jnp.ones(rows)), q)  # fmt: skip
    return pairs


def partial_time(jax: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """vmap over the second axis, time staying first."""
    return lambda f: jax.vmap(f, in_axes=1, out_axes=1)


def cpu_seconds(call: Callable[[], Any], times: int) -> float:
    """CPU seconds per call."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def measure(pair: Pair, repeats: int) -> dict[str, Any]:
    """Ratios of CPU times, ours to theirs, in turns; the order alternates."""
    calls = []
    for f in (pair.ours, pair.theirs):
        ready = pair.compiled(f)
        calls.append(lambda ready=ready: pair.finish(ready(*pair.arguments)))
        calls[-1]()
    times = max(1, round(BUDGET / max(cpu_seconds(c, 3) for c in calls)))
    seconds: list[tuple[float, float]] = []
    for turn in range(repeats):
        first = cpu_seconds(calls[turn % 2], times)
        second = cpu_seconds(calls[1 - turn % 2], times)
        seconds.append((first, second) if turn % 2 == 0 else (second, first))
    ratios = [mine / other for mine, other in seconds]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "name": pair.name,
        "ours_us": round(1e6 * statistics.median(s[0] for s in seconds), 2),
        "theirs_us": round(1e6 * statistics.median(s[1] for s in seconds), 2),
        "ratio": round(middle, 3),
        "quartiles": [round(low, 3), round(high, 3)],
    }


def entry_checks() -> dict[str, float]:
    """CPU microseconds that the checks add to one uncompiled call (q_learning_target)."""
    import numpy as np
    import torch

    from meritree.objectives._namespace import check

    result = {}
    for name, zeros in (("numpy", np.zeros), ("torch", torch.zeros)):
        q, r = zeros((32, 4)), zeros(32)
        spec = {"r": (r, "..."), "d": (0.99, "... or number"), "q": (q, "... A")}
        call = lambda spec=spec: check("f", **spec)  # noqa: E731
        result[name] = round(1e6 * min(cpu_seconds(call, 2000) for _ in range(7)), 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=41)
    parser.add_argument("--only", nargs="*", help="names of pairs to measure; nothing is written")
    options = parser.parse_args()
    load = os.getloadavg()
    rows = []
    for pair in rlax_pairs():
        if options.only and pair.name not in options.only:
            continue
        rows.append(measure(pair, options.repeats))
        row = rows[-1]
        mark = "" if row["ratio"] <= TARGET else f"  above {TARGET}"
        print(
            f"{row['name']:34}{row['ours_us']:>10} us{row['theirs_us']:>10} us"
            f"{row['ratio']:>8} {row['quartiles']}{mark}"
        )
    if options.only:
        return
    checks = entry_checks()
    print(f"entry checks, us per uncompiled call: {checks}")
    import jax
    import rlax

    here = Path(__file__).parent
    document = {
        "command": "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]]),
        "commit": commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "rlax": rlax.__version__,
        "load_average": [[round(x, 1) for x in load], [round(x, 1) for x in os.getloadavg()]],
        "repeats": options.repeats,
        "unit": "median ratio of CPU times, ours / rlax, both compiled; quartiles of the repeats",
        "target": TARGET,
        "above_target": [row["name"] for row in rows if row["ratio"] > TARGET],
        "rows": rows,
        "entry_checks_us": checks,
    }
    path = here / "results" / "objectives.json"
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()

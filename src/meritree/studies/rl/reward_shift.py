"""S047: a constant added to rewards: curiosity if negative, conservatism if positive.

Tabular Q-learning in four rooms, by the size of the shift, and Q-iteration on small data sets:
shifting rewards is the same as starting from other values, and what those do. Then networks:
DQN, with and without a bonus for what is new, and DQN, CQL and BCQ on fixed data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better, Bound, Where
from meritree.studies.rl import minatar, shift_agent, shift_offline
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from meritree.exact import MDP

ROOMS, COSTS, GAINS = "four rooms", "data, costs", "data, gains and costs"
SUCCESS, FIRST, SEEN = "share of episodes at the goal", "first episode at the goal", "states seen"
AGAIN = "difference from starting elsewhere"
MORE = "success less 3 x that without a shift"
WRONG, OVER, WORTH = "|estimate - true value|", "estimate - true value", "value of the policy"
DOSES = (5.0, 0.5, 0.0, -0.05, -0.25, -0.5, -1.0, -2.5, -5.0, -25.0)  # c/(1 - gamma), V_max = 1
BEST = -0.5
SHIFTS = (-0.5, 0.0, 0.5, 4.0)
CONSERVATIVE = "shift +0.5 a step"
GAMMA = 0.98


def named(dose: float) -> str:
    """How a dose is called in the rows."""
    return "no shift" if dose == 0.0 else f"shift {dose:+g}"


DEEP, FINAL = "four rooms, DQN", "the same in the last quarter"
RRS = "ensemble of shifts (RRS)"
RND, CURIOUS = "RND", f"RND, shift {BEST:+g}"
GIVEN = {"CartPole-v1": "data, CartPole", "Acrobot-v1": "data, Acrobot"}
GAIN = "return of the policy"
MOVES = (-1.0, 0.0, 1.0)  # of every reward, on those data
START, PLAIN = f"start at {-BEST:+g}", f"shift {BEST:+g}, ends left alone"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Rows of one seed: all doses with the same random numbers, one data set, then agents.

    Agents learn from the first seeds only.
    """
    yield from _online(seed, settings["episodes"])
    yield from _offline(seed, settings["sets"])
    if seed < settings["learners"]:
        yield from _deep(seed, settings)
        yield from _given(seed, settings)


def learner_of(system: str) -> shift_agent.Learner:
    """What an agent of this name learns from."""
    if system == RRS:
        return shift_agent.Learner(shift_agent.ENSEMBLE)
    if system == START:
        return shift_agent.Learner(start=-BEST)
    if system in (RND, CURIOUS):
        # A bonus of at most 1; the shift takes as much away, so that nothing is above 0.
        return shift_agent.Learner((BEST if system == CURIOUS else 0.0,), bonus=-BEST)
    doses = {named(dose): dose for dose in shift_agent.DOSES}
    return shift_agent.Learner((doses[system],))


def _deep(seed: int, settings: Settings) -> Iterator[Row]:
    """DQN under shifts; returns are those of the rooms themselves."""
    for system in settings["agents"]:
        found = shift_agent.run(learner_of(system), seed, settings["steps"])
        yield Row(system, DEEP, SUCCESS, found.success)
        yield Row(system, DEEP, FINAL, found.final)


def moved(method: str, c: float) -> str:
    """How rows call a method that learns from data under a shift."""
    return f"{method}, no shift" if c == 0.0 else f"{method}, shift {c:+g} a step"


def _given(seed: int, settings: Settings) -> Iterator[Row]:
    """What networks make of fixed data; returns and values are the environment's own."""
    for name in settings["given"]:
        found = shift_offline.run(name, seed, MOVES, settings["played"], settings["updates"])
        for (method, c), each in found.items():
            if method == shift_offline.DATA:
                yield Row(method, GIVEN[name], GAIN, each.gain)
                continue
            yield Row(moved(method, c), GIVEN[name], GAIN, each.gain)
            yield Row(moved(method, c), GIVEN[name], OVER, each.gap)
            yield Row(moved(method, c), GIVEN[name], WRONG, abs(each.gap))


def _online(seed: int, episodes: int) -> Iterator[Row]:
    import numpy as np

    from meritree.exact import models, transformed
    from meritree.exact.learning import q_learning
    from meritree.value.transforms import scale_and_shift, shift

    rooms = models.four_rooms(11, gamma=GAMMA)
    lasting = [transformed(rooms, shift(d * (1.0 - GAMMA), GAMMA)).rewards for d in DOSES]
    plain = transformed(rooms, scale_and_shift(1.0, BEST * (1.0 - GAMMA))).rewards
    tables = np.stack([*lasting, rooms.rewards, plain])
    systems = [*map(named, DOSES), START, PLAIN]
    runs = q_learning(
        rooms, tables, np.random.default_rng([seed, 47]), episodes=episodes, most=100,
        q0=[*[0.0] * len(DOSES), -BEST, 0.0],
    )  # fmt: skip
    without = runs.finished[DOSES.index(0.0)].mean()
    for k, system in enumerate(systems):
        finished = runs.finished[k]
        yield Row(system, ROOMS, SUCCESS, float(finished.mean()))
        yield Row(system, ROOMS, SEEN, float(runs.visited[k]))
        first = int(finished.argmax()) + 1 if finished.any() else episodes + 1
        yield Row(system, ROOMS, FIRST, float(first))
        yield Row(system, ROOMS, MORE, float(finished.mean() - 3.0 * without))
    shifted, started = systems.index(named(BEST)), systems.index(START)
    apart = runs.Q[shifted] - runs.Q[started] - BEST
    same = np.array_equal(runs.lengths[shifted], runs.lengths[started])
    live = ~rooms.ends
    worst = float(np.abs(apart[live]).max()) if same else 1.0
    yield Row(named(BEST), ROOMS, AGAIN, worst)


def _offline(seed: int, sets: int) -> Iterator[Row]:
    """Q-iteration on 120 transitions of a half-good policy; means over the data sets of a seed."""
    import numpy as np

    from meritree.exact import MDP, models

    total: dict[tuple[str, str, str], float] = {}
    for k in range(sets):
        rng = np.random.default_rng([seed, k, 4700])
        gains = models.garnet(30, 4, 3, rng, gamma=0.9)
        costs = MDP(gains.P, -rng.random(gains.R.shape), gains.gamma)
        for data, mdp in ((COSTS, costs), (GAINS, gains)):
            for system, metric, value in _from_data(mdp, _data_set(mdp, rng)):
                key = (system, data, metric)
                total[key] = total.get(key, 0.0) + value / sets
    for key, mean in total.items():
        yield Row(*key, mean)


def _from_data(mdp: MDP, counts: NDArray[Any]) -> Iterator[tuple[str, str, float]]:
    """What is learned from one data set under each shift, the shift taken out again.

    Actions that were never seen keep their first value.
    """
    import numpy as np

    from meritree.exact import evaluate, transformed
    from meritree.exact.learning import offline_q
    from meritree.value.transforms import shift, unshifted_value

    for c in SHIFTS:
        learned = transformed(mdp, shift(c, mdp.gamma)).rewards
        Q = unshifted_value(offline_q(mdp, learned, counts), c, mdp.gamma)
        true = evaluate(mdp, Q.argmax(axis=1))
        gap = Q.max(axis=1) - true
        system = "no shift" if c == 0.0 else f"shift {c:+g} a step"
        yield system, WRONG, float(np.abs(gap).mean())
        yield system, OVER, float(gap.mean())
        yield system, WORTH, float(mdp.first @ true)


def _data_set(mdp: MDP, rng: Any) -> NDArray[Any]:
    """[S, A, S] counts of 120 transitions: half the best action, half any."""
    import numpy as np

    from meritree.exact import policy_iteration, policy_table, sample_episodes

    behaviour = 0.5 * policy_table(mdp, policy_iteration(mdp).policy) + 0.5 / mdp.A
    walked = sample_episodes(mdp, behaviour, 6, rng, horizon=20)
    counts = np.zeros(mdp.P.shape)
    np.add.at(counts, (walked.states[:, :-1], walked.actions, walked.states[:, 1:]), 1.0)
    return counts


def draw(rows: Rows, figure: Figure) -> str:
    """Success by dose; error and worth of offline policies by shift; then networks."""
    from meritree.studies.figure import bars

    figure.set_size_inches(10.0, 8.4)
    (left, middle, right), below = figure.subplots(2, 3)
    found = [rows.interval(SUCCESS, named(dose), ROOMS) for dose in DOSES]
    spread = [[i.mean - i.low for i in found], [i.high - i.mean for i in found]]
    places = list(range(len(DOSES)))
    left.errorbar(places, [i.mean for i in found], spread, marker="o", capsize=3)
    left.set_xticks(places, [f"{dose:+g}" for dose in DOSES], rotation=60)
    left.set_xlabel("c/(1 - gamma), the largest value being 1")
    left.set_ylabel(SUCCESS)
    bars(middle, rows, WRONG, dataset=COSTS)
    bars(right, rows, WORTH, dataset=COSTS)
    right.set_yticklabels([])
    deep = ((DEEP, SUCCESS), (GIVEN["Acrobot-v1"], GAIN), (GIVEN["CartPole-v1"], GAIN))
    for axes, (dataset, metric) in zip(below, deep, strict=True):
        axes.set_title(dataset, fontsize="small")
        if rows.where(metric=metric, dataset=dataset):
            bars(axes, rows, metric, dataset=dataset)
    return (
        "Above, left: share of episodes in which Q-learning from zero reaches the goal of four "
        "rooms, by the shift of its rewards. Middle and right: Q-iteration on 120 transitions of a "
        "process of 120 pairs that only costs, how far its values are off and what its policy is "
        "worth. Below: networks, in four rooms and from fixed data (fewer seeds). "
        f"{len(rows.seeds)} seeds, 95 % intervals."
    )


STUDY = Study(
    id="S047",
    name="reward-shift",
    paper=Paper(
        "Optimistic Curiosity Exploration and Conservative Exploitation with Linear Reward Shaping",
        "H. Sun, L. Han, R. Yang, X. Ma, J. Guo, B. Zhou",
        2022,
        "2209.07288",
        read="abstract and the released code (dqn_rnd.py, RND.py, BCQ.py); BCQ's own release",
    ),
    claim=(
        "Shifting rewards by c is starting values c/(1 - gamma) lower: a negative shift explores "
        "like optimism and finds sparse rewards, a positive one makes values learned from data "
        "conservative and their estimates better."
    ),
    parts=(
        "meritree.value.transforms.shift",
        "meritree.value.transforms.scale_and_shift",
        "meritree.exact.learning.q_learning",
        "meritree.exact.learning.offline_q",
        "meritree.exact.mdp.transformed",
        "meritree.exact.models.four_rooms",
        "meritree.rl.value_based.trainer.value_trainer",
        "meritree.rl.value_based.chain.TargetChain",
        "meritree.rl.value_based.act.member_of_episode",
        "meritree.rl.bonuses.rnd",
        "meritree.rl.value_based.offline.offline_trainer",
        "meritree.rl.value_based.conservative.Conservative",
        "meritree.rl.value_based.conservative.likely",
    ),
    data=(
        Data(ROOMS, "11 x 11, corner to corner, gamma 0.98, epsilon 0.05",
             "150 episodes of at most 100 steps"),
        Data(DEEP, "9 x 9, as above, epsilon from 0.9 to 0.05 in the first tenth",
             "24 000 steps, episodes of at most 80"),
        Data(COSTS, "garnet, 30 states, 4 actions, rewards in [-1, 0]: 0 lies above all values",
             "120 transitions, half of them of the best policy; 20 sets a seed"),
        Data(GAINS, "the same transitions, normal rewards: 0 lies below most values", "as above"),
        Data(GIVEN["Acrobot-v1"], "gymnax, -1 a step: values lie in [-100, 0]; a rule that swings "
             "with the second joint, at random in 0.2 of the steps of one half of the worlds and "
             "in all of the other's", "5000 transitions a seed"),
        Data(GIVEN["CartPole-v1"], "gymnax, +1 a step: values lie in [0, 100]; a rule that pushes "
             "towards where the pole falls, with the same noise", "5000 transitions a seed"),
    ),
    baselines=("no shift", START, PLAIN, RND, "double DQN", "CQL", "BCQ"),
    measure=measure,
    checks=(
        Bound("a shift is a start elsewhere: the same actions, values a constant apart", AGAIN,
              named(BEST), ROOMS, at_most=1e-9),
        Bound("half of the largest value as a negative shift: at least 3 x the success of none",
              MORE, named(BEST), ROOMS, at_least=0.0),
        Better("it sees more states", SEEN, named(BEST), "no shift", dataset=ROOMS),
        *(
            Bound(f"a positive shift ({dose:+g}) never finds the goal", SUCCESS, named(dose), ROOMS,
                  at_most=0.0)
            for dose in (0.5, 5.0)
        ),
        Better("a negative shift 50 times as large wastes the budget", SUCCESS, named(BEST),
               named(-25.0), dataset=ROOMS),
        *(
            Better(f"{data}: a positive shift lowers estimates against the truth", OVER,
                   CONSERVATIVE, "no shift", higher=False, dataset=data)
            for data in (COSTS, GAINS)
        ),
        Better("where 0 is optimistic, it makes estimates better", WRONG, CONSERVATIVE,
               "no shift", higher=False, dataset=COSTS),
        Better("and the policy", WORTH, CONSERVATIVE, "no shift", dataset=COSTS),
        *(
            Where(
                Better(f"DQN: {claim}", SUCCESS, system, than, higher=higher, dataset=DEEP),
                (system, than),
                DEEP,
            )
            for claim, system, than, higher in (
                (f"shift {BEST:+g} beats none", named(BEST), "no shift", True),
                ("a positive shift finds less than none", named(0.5), "no shift", False),
                ("a shift ten times as large wastes the budget", named(BEST), named(-5.0), True),
                ("an ensemble of shifts beats no shift", RRS, "no shift", True),
                ("a bonus (RND) with a shift beats the bonus alone", CURIOUS, RND, True),
                ("and the shift alone", CURIOUS, named(BEST), True),
            )
        ),
        *(
            Where(
                Better(f"networks on {GIVEN[name]}, {method}: {text}", metric, moved(method, 1.0),
                       moved(method, 0.0), higher=higher, dataset=GIVEN[name]),
                (moved(method, 1.0),),
                GIVEN[name],
            )
            for method in shift_offline.METHODS
            for name, text, metric, higher in (
                ("Acrobot-v1", "where 0 is optimistic, a positive shift makes estimates better",
                 WRONG, False),
                ("Acrobot-v1", "and the policy", GAIN, True),
                ("CartPole-v1", "where 0 lies below all values, it still makes the policy better",
                 GAIN, True),
            )
        ),
    ),
    scales={
        "smoke": Scale(3, {"episodes": 40, "sets": 2, "learners": 1, "steps": 1600,
                           "agents": (CURIOUS,), "given": ("CartPole-v1",), "played": 30,
                           "updates": 40}),
        "full": Scale(20, {"episodes": 150, "sets": 20, "learners": 5, "steps": 24_000,
                           "agents": (*map(named, shift_agent.DOSES), RRS, START, RND, CURIOUS),
                           "given": tuple(GIVEN), "played": 500, "updates": 4000}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "array_api_compat", "jax", "flax", "optax"),
    extra="rl",
    repeatable=False,
    notes=(
        "Doses are given in units of the largest true value, 1: what counts is c/(1 - gamma), by "
        "which values move.",
        "Shifts go on for ever at ends (their value is c/(1 - gamma)), as the equivalence demands. "
        "The released code leaves ends alone, which pays for ending early besides: "
        f"'{PLAIN}'. That such a shift can change the best policy is a test "
        "(tests/exact/test_learning.py).",
        "Offline, everything depends on where 0 lies among the values: where they lie above it, "
        "learning from 0 is pessimistic already, and a positive shift makes estimates worse "
        f"('{GAINS}', reported, no check).",
        "Returns, and the values compared offline, are those of the process itself, the shift "
        "taken out.",
        "DQN: one layer of 64, as in the release; seeds 0 to 4. The grid was chosen on seeds 100 "
        "to 102: on 7 x 7 no shift already succeeds in 0.80 to 0.93 of all episodes, on 11 x 11 "
        "in none within 16 000 steps. A network whose readout starts higher by the "
        "dose learns the same but for rounding (tests/rl/test_stock_and_shift_agents.py).",
        "RRS: three members shifted by -0.5, 0 and +0.5 in the units above, one of which acts "
        "for a whole episode. The paper's RRS is built on TD3 in continuous control.",
        "RND: the error of a predictor of a random network, clipped to [0, 1]; a bonus of 1 for "
        "ever would be worth half of the largest value. The release adds up squared errors over "
        "512 outputs, judges the state acted in, clips to [-1, 1], shifts by -1 and -1.5 and "
        "leaves ends alone. On seeds 100 and 101, looked at before, the bonus with the shift had "
        "beaten the bonus alone.",
        "Networks on data: double DQN, CQL with weight 1, discrete BCQ with threshold 0.3 (both "
        "as released, but BCQ's imitation is fitted before), 4000 updates of 64 rows, nothing "
        "tuned; the same networks and data for all. The paper has continuous BCQ and CQL on D4RL, "
        "shifts of 1 to 50. Learning is short: estimates have not converged everywhere.",
        "A larger run: side 11, episodes of 500 steps, 200 000 steps and 20 seeds, about half an "
        "hour of CPU at the rate seen here; D4RL needs a trainer of continuous actions.",
    ),
    further={
        "minatar": minatar.further(
            minatar.SHIFT, about="Every reward lower by 0.01, values by 1, on games.",
        )
    },
)  # fmt: skip

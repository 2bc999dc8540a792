"""S001: does tree search with a hybrid value help at equal compute? Faults of real packages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from meritree.studies.checks import Own
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study
from meritree.studies.swe.verdicts import (
    BARELY,
    BASE,
    CHOOSING,
    DEBATED,
    GUARDED_PRIOR,
    MODEL,
    ONE,
    OPEN,
    RANKED,
    REPAIR,
    SEVERAL,
    SOLVED,
    TESTS,
    TOKENS,
    better,
    debated_by,
    draw,
    falls_back,
    never_worse,
    quality_pays,
    solved_within,
)

if TYPE_CHECKING:
    from meritree.studies.swe.cases import AgentSetting, OpenTask, Passing, Tried
    from meritree.studies.swe.contestants import Agent


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Rows of one seed: every strategy on every task."""
    from meritree.studies.swe.cases import OpenTask, opened, task_named, with_one_test

    for name in settings["tasks"]:
        task = opened(name, settings["keep"])
        kind = ONE if len(task.task.faults) == 1 else SEVERAL
        yield from _by_repair(name, kind, seed, settings)
        yield from _by_agent(name, kind, seed, settings)
        yield from _by_choice(task, kind, name, seed, settings)
        if kind == SEVERAL:
            yield from _by_quality(name, seed, settings)
    for name in settings["barely_tested"]:
        barely = OpenTask(with_one_test(task_named(name), seed), settings["keep"])
        try:
            yield from _by_choice(barely, BARELY, name, seed, settings)
        finally:
            barely.close()


def _by_repair(name: str, kind: str, seed: int, settings: Settings) -> Iterator[Row]:
    from meritree.studies.swe.cases import opened
    from meritree.studies.swe.contestants import BY_REPAIR, for_repair

    task, most = opened(name, settings["keep"]), settings["tests"]
    for system in BY_REPAIR:
        tried = task.by_repair(for_repair(system), seed, most)
        yield from _rows(system, f"{REPAIR}, {kind}", name, tried, most)


def _by_agent(name: str, kind: str, seed: int, settings: Settings) -> Iterator[Row]:
    from meritree.studies.swe.contestants import ABLATIONS, BY_AGENT, for_agent

    for system in BY_AGENT:
        yield from _agent_rows(system, for_agent(system), name, kind, seed, settings)
    for part, without in ABLATIONS.items():
        agent = without(for_agent(BASE))
        yield from _agent_rows(f"{BASE} {part}", agent, name, kind, seed, settings)


def _agent_rows(
    system: str, agent: Agent, name: str, kind: str, seed: int, settings: Settings
) -> Iterator[Row]:
    tried = _agent(agent, name, seed, settings)
    data, most = f"{MODEL}, {kind}", settings["agent_tests"]
    yield from _rows(system, data, name, tried, most)
    tokens = tried.tokens if tried.right else 2 * settings["tokens"]
    yield Row(system, data, TOKENS, round(min(tokens, 2 * settings["tokens"]) / 1000, 1), name)


def _agent(agent: Agent, name: str, seed: int, settings: Settings) -> Tried:
    from meritree.studies.swe.cases import opened

    task = opened(name, settings["keep"])
    return task.by_agent(_agent_setting(agent, seed, settings), seed)


def _agent_setting(agent: Agent, seed: int, settings: Settings) -> AgentSetting:
    from meritree.studies.swe.cases import AgentSetting
    from meritree.studies.swe.contestants import models

    return AgentSetting(
        agent.rules, models(settings, agent, seed), agent.limits, agent.weights,
        settings["agent_tests"], settings["tokens"], agent.temperature,
    )  # fmt: skip


def _by_choice(
    task: OpenTask, kind: str, name: str, seed: int, settings: Settings
) -> Iterator[Row]:
    """Searches that go on after the first passing patch, and who then chooses one."""
    from meritree.studies.swe.contestants import collecting, for_agent, for_repair

    agent = collecting(for_agent(BASE))
    found = {
        REPAIR: task.passing_by_repair(for_repair(BASE), seed, settings["tests"]),
        MODEL: task.passing_by_agent(_agent_setting(agent, seed, settings), seed),
    }
    for policy, passing in found.items():
        data = f"{policy}, {kind}"
        for system, right, tokens in _choices(passing, task.told, seed, settings):
            yield Row(system, data, SOLVED, 100.0 * right, name)
            if tokens is not None:
                yield Row(system, data, CHOOSING, tokens / 1000, name)
        both = {one.right for one in passing} == {True, False}
        yield Row(RANKED, data, OPEN, 100.0 * both, name)


def _choices(
    passing: Sequence[Passing], told: str, seed: int, settings: Settings
) -> Iterator[tuple[str, bool, int | None]]:
    """System, whether its choice is right, and its tokens (None: it asks nobody)."""
    from meritree.studies.swe.debating import chosen, debate_of

    yield RANKED, bool(passing) and chosen(passing, told, None)[0].right, None
    for quality in (None, *settings["debater_quality"]):
        system = DEBATED if quality is None else debated_by(quality)
        if not passing:
            yield system, False, 0
            continue
        one, tokens = chosen(passing, told, debate_of(settings, passing, seed, quality))
        yield system, one.right, tokens


def _by_quality(name: str, seed: int, settings: Settings) -> Iterator[Row]:
    """The same searches with values made worse: the curve of value quality."""
    from meritree.studies.swe.cases import distorted, opened
    from meritree.studies.swe.contestants import for_agent, for_repair, judged_by_model_alone

    task, most = opened(name, settings["keep"]), settings["tests"]
    for bias, noise in settings["distortions"]:
        for system in (BASE, GUARDED_PRIOR):
            tried = task.by_repair(for_repair(system), seed, most, distorted(bias, noise, seed))
            data = f"{REPAIR}, {SEVERAL}, {_quality(bias, noise)}"
            yield Row(system, data, SOLVED, 100.0 * tried.right, name)
    for bias, noise in settings["model_distortions"]:
        agent = judged_by_model_alone(for_agent(BASE), bias, noise)
        tried = _agent(agent, name, seed, settings)
        data = f"{MODEL}, {SEVERAL}, judged by the value model alone, {_quality(bias, noise)}"
        yield Row(BASE, data, SOLVED, 100.0 * tried.right, name)


def _quality(bias: float, noise: float) -> str:
    return f"bias {bias:+g}, noise {noise:g}" if bias else f"noise {noise:g}"


def _rows(system: str, data: str, unit: str, tried: Tried, most: int) -> Iterator[Row]:
    yield Row(system, data, SOLVED, 100.0 * tried.right, unit)
    yield Row(system, data, TESTS, tried.tests if tried.right else 2 * most, unit)


_PLACES = tuple(f"{policy}, {kind}" for policy in (REPAIR, MODEL) for kind in (ONE, SEVERAL))
_TOKENS = 300.0  # thousand; nearly every search goes on for as long if it finds nothing

STUDY = Study(
    id="S001",
    name="swe-search",
    paper=Paper(
        "SWE-Search: Enhancing Software Agents with Monte Carlo Tree Search and Iterative "
        "Refinement",
        "Antoniades et al.",
        2024,
        "2410.20285",
        read="abstract, tables as quoted by others; the released code (three versions)",
    ),
    claim=(
        "Tree search with a hybrid value and hindsight solves more than a single trajectory (the "
        "paper: 25.7 to 31.0 % with GPT-4o); here also: more than verified best-of-n at equal "
        "compute."
    ),
    parts=(
        "meritree.search.swe_search.SweSearchPaper",
        "meritree.search.swe_search.SweSearchDev",
        "meritree.search.swe_search.SweSearchMoatless",
        "meritree.search.thompson.AbMcts",
        "meritree.search.chains.Guarded",
        "meritree.swe.agent.setup.new_agent_search",
        "meritree.swe.agent.value_agent.ValueAgent",
        "meritree.swe.agent.hindsight.told",
        "meritree.swe.discriminator.Debate",
        "meritree.stats.crossed_bootstrap",
    ),
    data=(
        Data(
            "faults",
            "injected by `meritree bench repair` (list seed 1); of several edits: five pairs of "
            "one-edit faults of one package, both needed, and a fault of two slips; packages are "
            "fetched by name from the package index",
            "5 of one edit, 6 of several, in six pure-Python packages; half of the failing tests "
            "hidden",
        ),
    ),
    baselines=("linear", "linear, again", "best-of-n", "order of prior"),
    measure=measure,
    checks=(
        Own(
            "several edits, repair policy: best-first solves more than best-of-n at equal test "
            "runs",
            better("best-first", "best-of-n", f"{REPAIR}, {SEVERAL}"),
        ),
        Own(
            "several edits, repair policy: best-first solves more than trying edits in order of "
            "prior",
            better("best-first", "order of prior", f"{REPAIR}, {SEVERAL}"),
        ),
        Own(
            "several edits, repair policy: SWE-Search (moatless) solves more than best-of-n",
            better("swe-search-moatless", "best-of-n", f"{REPAIR}, {SEVERAL}"),
        ),
        Own(
            "one edit, repair policy: best-first solves more than trying edits in order of prior",
            better("best-first", "order of prior", f"{REPAIR}, {ONE}"),
        ),
        Own(
            "several edits, model: best-first solves more than best-of-n at equal test runs",
            better("best-first", "best-of-n", f"{MODEL}, {SEVERAL}"),
        ),
        Own(
            "several edits, model: SWE-Search (moatless) solves more than best-of-n at equal test "
            "runs",
            better("swe-search-moatless", "best-of-n", f"{MODEL}, {SEVERAL}"),
        ),
        Own(
            "several edits, model: SWE-Search (moatless) solves more than the single trajectory "
            "(not at equal compute: the paper's comparison)",
            better("swe-search-moatless", "linear", f"{MODEL}, {SEVERAL}"),
        ),
        Own(
            f"several edits, model: best-first solves more than best-of-n at {_TOKENS:g} k tokens",
            better(
                "best-first",
                "best-of-n",
                f"{MODEL}, {SEVERAL}",
                solved_within(_TOKENS),
                f"solved within {_TOKENS:g} k tokens",
            ),
        ),
        Own(
            "several edits, model at temperature 1: hindsight helps",
            better(
                f"{BASE} at temperature 1",
                f"{BASE} at temperature 1, without hindsight",
                f"{MODEL}, {SEVERAL}",
            ),
        ),
        Own(
            "several edits, model: the execution channel helps",
            better(BASE, f"{BASE} without the execution channel", f"{MODEL}, {SEVERAL}"),
        ),
        Own(
            "the law: guarded is never worse than verified best-of-n at equal test runs",
            never_worse("guarded", "best-of-n", _PLACES),
        ),
        Own(
            "the law in order of prior: guarded is never worse than trying edits in that order",
            never_worse(GUARDED_PRIOR, "order of prior", _PLACES[:2]),
        ),
        Own(
            "several edits, repair policy: guarded (order of prior) solves more than order of "
            "prior",
            better(GUARDED_PRIOR, "order of prior", f"{REPAIR}, {SEVERAL}"),
        ),
        Own("search pays by its value: noise takes its benefit away", quality_pays),
        Own(
            "with a value that is mere noise, guarded falls back: not worse than its chains",
            falls_back,
        ),
        Own(
            "several edits, model: best-first solves more than one chain after another, each told "
            "what was tried, at equal test runs",
            better("best-first", "linear, again", f"{MODEL}, {SEVERAL}"),
        ),
        *(
            Own(
                f"{kind}, {policy}: a debate in which half of the speakers know finds the right "
                "one of the passing patches more often than the ranking",
                better(DEBATED, RANKED, f"{policy}, {kind}"),
            )
            for policy in (REPAIR, MODEL)
            for kind in (BARELY, SEVERAL)
        ),
    ),
    scales={
        "smoke": Scale(
            1,
            {
                "tasks": ("parcel-2.3.0/single-001", "parcel-2.3.0/double-001"),
                "tests": 10,
                "agent_tests": 6,
                "tokens": 300_000,
                "slips": 0.15,
                "distortions": ((0.0, 0.2),),
                "model_distortions": ((0.0, 50.0),),
                "debaters": 0.5,
                "debater_quality": (),
                "barely_tested": ("parcel-2.3.0/single-001",),
                "keep": False,
                "model": "",
                "base_url": "",
            },
        ),
        "full": Scale(
            20,
            {
                "tasks": (
                    "roman-5.2/single-001",
                    "dotmap-1.3.30/single-001",
                    "semver-3.1.1/single-000",
                    "inflection-0.5.1/single-003",
                    "schema-0.7.8/single-002",
                    "inflection-0.5.1/pair-000-001",
                    "inflection-0.5.1/pair-000-002",
                    "inflection-0.5.1/pair-001-002",
                    "schema-0.7.8/pair-000-002",
                    "roman-5.2/double-000",
                    "cachetools-8.0.1/pair-000-003",
                ),
                "tests": 60,
                "agent_tests": 30,
                "tokens": 1_000_000,
                "slips": 0.15,
                "distortions": ((0.0, 0.2), (0.0, 1.0)),
                "model_distortions": ((0.0, 0.0), (60.0, 0.0), (0.0, 200.0)),
                "debaters": 0.5,
                "debater_quality": (0.0, 0.25, 0.75, 1.0),
                "barely_tested": (
                    "roman-5.2/single-001",
                    "inflection-0.5.1/single-003",
                    "schema-0.7.8/single-002",
                    "parcel-2.3.0/single-001",
                ),
                "keep": True,
                "model": "",
                "base_url": "",
            },
        ),
    },
    draw=draw,
    needs=("matplotlib", "numpy"),
    part="the repair policy and local models (no language model was measured)",
    notes=(
        "The paper's figures: 25.7 to 31.0 % on SWE-bench Lite with GPT-4o. Its printed gains (17 "
        "% here, 23 % on average over five models) divide by the new score; divided by the old "
        "one, as is usual, they are 20.6 % and 29.5 %. It compares one trajectory with up to 100 "
        "search steps (14 times the cost with GPT-4o), so it does not say what search gains at "
        "equal compute; that is asked here.",
        "Selected faults: one-edit faults, also those of the pairs, that trying edits in order of "
        "prior repairs within 100 test runs when they stand alone. So shares are high, and say "
        "which strategy is better, not how many faults are repaired. Three pairs are of one "
        "package; for the fault of two slips (roman) nothing was selected.",
        "`order of prior` makes best-of-n's chains from the most probable edit down; `linear, "
        "again` is the same for a model that is told what was tried. They are the strongest "
        "baselines without a value.",
        "The local model is the repair policy behind the agent's tools: 15 % of its replies go "
        "wrong, and its value model knows what the tests say, with a noise of 20 points of 200. "
        "It reads from hindsight which actions were tried, not why: explanations cannot help it. "
        "What a language model gains by them, `--model` must show.",
        "A search ends by its test runs or by its tokens, whichever is spent first; PAR2 counts "
        "twice the budget where nothing was found. Intervals in checks draw tasks and seeds anew, "
        "those in the table seeds only.",
        "Debate: the search of `best-first` goes on after its first passing patch (to its whole "
        "budget with the repair policy, for at most eight steps or five patches with the model); "
        "then the ranking's first is taken, as `meritree fix` does, or what a debate of five "
        "over up to three rounds makes of the five that rank highest, as with `--judge-model` "
        "(here without the last check in fresh processes). Both choose from the same patches. With "
        "many tests shown few wrong patches pass; so some faults are also searched with one test "
        "shown, which leaves something to choose. The ranking's weights were fitted to other "
        "injected faults, by the same kind of slips: elsewhere it will be right less often.",
        "Without `--model` the speakers of the debate are programs: each knows a right patch with "
        "the chance given (half, where none is), else votes by lot, and then joins a majority "
        "that it hears. So this says how good speakers must be for a debate to pay, not how good "
        "a language model is. They argue in one line: a real debate takes more tokens.",
    ),
)

"""Rewards fail by a stated rule: what raises, hangs, dies or says nonsense is counted."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from meritree.align._worker import Worker
from meritree.align.lab.model import Vocabulary
from meritree.align.lab.tasks import task_named
from meritree.align.rewards import (
    Rewards,
    Sample,
    judged,
    remembered,
    rewards_of,
    task_reward,
    verifier,
)
from meritree.errors import BadInput
from meritree.respond.rubric import Criterion, Rubric
from meritree.respond.scripted import FunctionModel

HOSTILE = """
import os, subprocess, time

def verdict(prompt, answer, folder=None):
    if answer == "pid":
        return os.getpid()
    if answer == "hang":
        time.sleep(1000)
    if answer == "hang with a child":
        child = subprocess.Popen(["sleep", "1000"])
        open(os.path.join(folder, "child"), "w").write(str(child.pid))
        time.sleep(1000)
    if answer == "regex":  # holds the interpreter's lock: only a kill ends it
        import re
        return float(re.match("(a+)+$", "a" * 60 + "b") is None)
    if answer == "die":
        os._exit(7)
    if answer == "raise":
        raise ValueError("no number here")
    if answer == "odd":
        return "many"
    if answer == "nan":
        return float("nan")
    return float(len(answer))
"""
TEXTS = ("pid", "hang", "hang with a child", "regex", "die", "raise", "odd", "nan", "four")


def text(ids: list[int]) -> str:
    return TEXTS[ids[0]]


def sample_of(said: str, **columns: Any) -> Sample:
    return Sample([TEXTS.index("four")], [TEXTS.index(said)], 5, columns)


@pytest.fixture
def verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "hostile_verdict.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path)
    from hostile_verdict import verdict as function  # type: ignore[import-not-found]

    yield function
    del sys.modules["hostile_verdict"]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    for _ in range(200):
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


def test_what_hangs_dies_or_raises_gets_zero_and_is_counted_by_reason(verdict: Any) -> None:
    reward = verifier(verdict, read=text, seconds=2.0)
    first = reward([sample_of("pid"), sample_of("pid"), sample_of("raise"), sample_of("pid")])
    assert first.score[0] == first.score[1] == first.score[3]  # started once and kept
    assert first.score[0] != os.getpid()
    assert (first.score[2], first.counts) == (0.0, {"raised ValueError": 1})
    bad = [sample_of(one) for one in ("hang", "four", "die", "four", "regex", "odd")]
    second = reward(bad)
    assert second.score == [0.0, 4.0, 0.0, 4.0, 0.0, 0.0]
    assert second.counts == {"timed out": 2, "died": 1, "raised ValueError": 1}
    assert not Path(f"/proc/{int(first.score[0])}").exists()  # no zombie either
    dying = int(reward([sample_of("pid")]).score[0])
    reward([sample_of("die")])
    assert not Path(f"/proc/{dying}").exists()
    last = int(reward([sample_of("pid")]).score[0])
    assert alive(last)
    del reward
    gc.collect()
    assert not Path(f"/proc/{last}").exists()


def test_a_kill_takes_the_verifiers_own_processes_with_it(verdict: Any, tmp_path: Path) -> None:
    reward = verifier(verdict, read=text, seconds=1.0, columns=("folder",))
    made = reward([sample_of("hang with a child", folder=str(tmp_path))])
    assert made.counts == {"timed out": 1}
    assert gone(int((tmp_path / "child").read_text()))


def test_the_worker_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "slow_verdict.py").write_text(
        "import os, time\ndef run(where):\n"
        "    open(where, 'w').write(str(os.getpid()))\n    time.sleep(1000)\n"
    )
    where = tmp_path / "pid"
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from slow_verdict import run\nfrom meritree.align._worker import Worker\n"
        f"Worker(run, 1000.0)({str(where)!r})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    for _ in range(600):
        if where.exists() and where.read_text():
            break
        time.sleep(0.05)
    pid = int(where.read_text())
    assert alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone(pid)


def test_an_interrupted_call_leaves_no_answer_for_the_next(verdict: Any) -> None:
    worker = Worker(verdict, 30.0)
    assert worker("", "four").value == 4.0

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            worker("", "hang")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert worker("", "a text of its own").value == 17.0
    worker.close()


def test_a_failure_is_an_error_that_names_the_row_if_that_is_the_rule(verdict: Any) -> None:
    for seconds in (None, 5.0):
        reward = verifier(verdict, read=text, seconds=seconds, on_error="refuse")
        with pytest.raises(BadInput, match=r"row 1 \(prompt 5\) raised ValueError: no number"):
            reward([sample_of("four"), sample_of("raise")])


def test_a_number_that_is_not_finite_is_refused_whatever_the_rule(verdict: Any) -> None:
    reward = verifier(verdict, read=text)
    with pytest.raises(BadInput, match="the score of row 2 is nan"):
        reward([sample_of("four"), sample_of("raise"), sample_of("nan")])
    with pytest.raises(BadInput, match="an aspect of row 0 is inf"):
        Rewards([1.0], [[0.0, float("inf")]])
    with pytest.raises(BadInput, match=r"2 scores and 2 rows of aspects of lengths \[1, 2\]"):
        Rewards([1.0, 2.0], [[0.0], [1.0, 2.0]])


def test_a_function_that_cannot_be_sent_is_refused_with_the_way_out() -> None:
    with pytest.raises(BadInput, match=r"cannot be sent to a process.*top of a module"):
        verifier(lambda prompt, answer: 1.0, read=text, seconds=1.0)


def test_a_function_that_the_process_cannot_import_is_refused(verdict: Any, tmp_path: Path) -> None:
    reward = verifier(verdict, read=text, seconds=1.0)
    (tmp_path / "hostile_verdict.py").unlink()
    with pytest.raises(BadInput, match=r"No module named 'hostile_verdict'.*top of a module"):
        reward([sample_of("four")])


def test_columns_reach_the_verifier_and_a_missing_one_is_named() -> None:
    def right(prompt: str, answer: str, gold: str) -> bool:
        return answer == gold

    reward = verifier(right, read=text, columns=("gold",))
    rows = [sample_of("four", gold="four", other=1), sample_of("pid", gold="four")]
    assert reward(rows).score == [1.0, 0.0]
    with pytest.raises(BadInput, match=r"row 0 \(prompt 5\) has no column 'gold'; it has other"):
        reward([sample_of("four", other=1)])


def test_aspects_come_with_the_score_and_a_failure_has_as_many() -> None:
    def parts(prompt: str, answer: str) -> tuple[float, list[float]]:
        if answer == "raise":
            raise KeyError("x")
        return (1.0, [1.0, 0.0]) if answer == "four" else (1.0, [1.0])

    made = verifier(parts, read=text, aspects=2)([sample_of(s) for s in ("four", "raise", "odd")])
    assert made.aspects == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert made.score == [1.0, 0.0, 0.0]
    assert made.counts == {"raised KeyError": 1, "raised ValueError": 1}


@pytest.mark.parametrize(
    ("option", "said"),
    [({"on_error": "skip"}, "on_error is 'skip'"), ({"seconds": 0.0}, "seconds is 0"),
     ({"seconds": float("inf")}, "seconds is inf"), ({"aspects": -1}, "aspects is -1")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(option: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        verifier(len, read=text, **option)


def test_a_reward_that_returns_something_else_is_refused() -> None:
    with pytest.raises(BadInput, match="returned list"):
        rewards_of(lambda samples: [1.0], [sample_of("four")])  # type: ignore[arg-type, return-value]
    with pytest.raises(BadInput, match="returned 1 scores for 2 answers"):
        rewards_of(lambda samples: Rewards([1.0]), [sample_of("four")] * 2)


@pytest.mark.parametrize("seconds", [None, 20.0])
def test_a_task_of_the_laboratory_is_a_reward(seconds: float | None) -> None:
    task = task_named("countdown")
    words, rng = Vocabulary(task), Random(3)
    samples = []
    for index in range(4):
        prompt, answer = task.draw(rng)
        answer = answer if index % 2 else answer[::-1][:5]
        samples.append(Sample(words.prompt(prompt), words.answer(answer), index))
    made = task_reward(task, seconds=seconds)(samples)
    assert made == Rewards([0.0, 1.0, 0.0, 1.0])


def test_rewards_bear_the_names_of_what_they_are_made_of(verdict: Any) -> None:
    made = [verifier(verdict, read=text), task_reward(task_named("minisql"))]
    assert [one.__name__ for one in made] == ["verdict", "minisql"]  # type: ignore[attr-defined]
    assert remembered(made[1]).__name__ == "minisql"  # type: ignore[attr-defined]


def test_equal_answers_are_judged_once_and_come_back_in_their_order() -> None:
    asked: list[int] = []

    def dear(samples: Sequence[Sample]) -> Rewards:
        asked.append(len(samples))
        score = [float(one.response[0]) for one in samples]
        return Rewards(score, [[value, 1.0] for value in score], {"asked": len(samples)})

    reward = remembered(dear, most=3)
    rows = [Sample([1], [n], i, {"gold": "x"}) for i, n in enumerate((3, 4, 3))]
    first = reward(rows)
    assert first == Rewards(
        [3, 4, 3], [[3, 1.0], [4, 1.0], [3, 1.0]], {"asked": 2, "remembered": 1}
    )
    assert reward(rows[:2]).counts == {"remembered": 2}
    other = [Sample([1], [3], 0, {"gold": "y"}), Sample([1, 3], [3], 0), Sample([1], [3], 0)]
    assert reward(other).counts == {"asked": 3}  # another column, another prompt, none
    assert reward(rows[:1]).counts == {"asked": 1}  # the oldest had to go
    assert asked == [2, 3, 1]
    assert remembered(lambda s: Rewards([0.0] * len(s)))(rows) == Rewards(
        [0.0] * 3, None, {"remembered": 1}
    )
    with pytest.raises(BadInput, match="most is 0"):
        remembered(dear, most=0)


def test_a_judge_with_a_rubric_is_a_reward_and_silence_is_counted_not_averaged() -> None:
    rubric = Rubric(
        (
            Criterion("short", "is short", 1.0, check=lambda said: float(len(said) < 5)),
            Criterion("kind", "is kind", 3.0),
        )
    )

    def judge(request: Any) -> str:
        return "I will not say" if "odd" in request.messages[1].text else "kind: yes - it is"

    rows = [sample_of("four"), sample_of("odd"), sample_of("hang with a child")]
    made = judged(FunctionModel(judge), rubric, read=text)(rows)
    assert made.score == [1.0, 0.0, 0.75]
    assert made.aspects == [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]]
    assert made.counts == {"unscored: kind": 1}
    with pytest.raises(BadInput, match=r"row 1 \(prompt 5\) unscored: kind"):
        judged(FunctionModel(judge), rubric, read=text, on_error="refuse")(rows)

"""minisql takes every query that means the same, and none that only looks right or does harm."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from meritree.align.lab import minisql
from meritree.align.lab._sqlite import results
from meritree.align.lab.minisql import TASK, query_of, question_of, slips
from meritree.align.rewards import Sample, task_reward
from meritree.errors import BadInput

ASKED = "price kind stock : largest price per kind where stock over 3 and price below 8"
PROMPT = ASKED.split(" ")
RIGHT = "SELECT kind , MAX ( price ) FROM t WHERE stock > 3 AND price < 8 GROUP BY kind"


@pytest.mark.parametrize(
    "query",
    [
        RIGHT,
        "SELECT kind , MAX ( price ) FROM t WHERE price <= 7 AND stock >= 4 GROUP BY kind",
        "SELECT kind , MAX ( price ) FROM t WHERE NOT ( price > 7 OR stock < 4 ) GROUP BY kind",
        "SELECT DISTINCT kind , MAX ( price ) FROM t WHERE 8 > price AND NOT stock <= 3 GROUP BY 1",
    ],
)
def test_queries_that_mean_the_same_are_right(query: str) -> None:
    assert TASK.reward(PROMPT, query.split()) == 1.0


@pytest.mark.parametrize(
    ("query", "aspects"),
    [
        (RIGHT.replace("MAX", "MIN"), [1, 0, 0, 1]),
        (RIGHT.replace(">", ">="), [1, 1, 0, 1]),
        (RIGHT.replace("kind , MAX ( price )", "MAX ( price ) , kind"), [1, 0, 0, 1]),
        ("SELECT kind , MAX ( price ) FROM t GROUP BY kind", [1, 1, 0, 1]),
        (RIGHT + " , kind", [1, 1, 1, 0]),  # right, and too long
        ("SELECT size FROM t", [0, 0, 0, 1]),  # the table has no such column
        ("SELECT kind FROM sqlite_master", [0, 0, 0, 1]),
        ("SELECT SELECT", [0, 0, 0, 1]),
        ("", [0, 0, 0, 1]),
    ],
)
def test_criteria_say_what_is_right_about_a_query(query: str, aspects: list[float]) -> None:
    score, found = TASK.judged(PROMPT, query.split())
    assert found == aspects
    assert score == float(found[2] == 1.0)


def test_every_drawn_prompt_is_read_back_and_almost_no_slip_passes() -> None:
    rng, passed, there = Random(11), 0, 0
    for _ in range(40):
        prompt, answer = TASK.draw(rng)
        question = question_of(prompt)
        assert minisql.prompt_of(question) == prompt
        assert TASK.judged(prompt, answer)[1][:3] == [1.0, 1.0, 1.0]
        wrong = slips(question)
        there += len(wrong)
        passed += sum(TASK.reward(prompt, query_of(one)) for one in wrong)
    assert there > 250
    assert passed < 0.08 * there  # some slips mean the same by chance of the question


def test_the_verdict_follows_from_the_prompt_alone() -> None:
    first = [TASK.judged(PROMPT, RIGHT.replace("3", d).split()) for d in "0123456789"]
    minisql._exam.cache_clear()
    assert [TASK.judged(PROMPT, RIGHT.replace("3", d).split()) for d in "0123456789"] == first
    assert [score for score, _ in first].count(1.0) == 1


ROWS = [(n, "a") for n in range(14)]


def test_a_query_may_only_read_and_only_a_little(tmp_path: Path) -> None:
    there = tmp_path / "other.db"
    forbidden = [
        "DELETE FROM t", "DROP TABLE t", "INSERT INTO t VALUES (1, 'b')", "PRAGMA user_version",
        f"ATTACH '{there}' AS other", f"VACUUM INTO '{there}'", "CREATE TABLE u (a)", "BEGIN",
        "SELECT sqlite_version()", "SELECT load_extension('x')", "SELECT name FROM sqlite_master",
        "SELECT randomblob(1000000000)", "SELECT 1; SELECT 2",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT MAX(n) FROM r",
        "SELECT n FROM " + ", ".join(f"t AS t{i}" for i in range(3)),  # ambiguous
        "SELECT t0.n FROM " + ", ".join(f"t AS t{i}" for i in range(3)),  # 2744 rows
        "SELECT COUNT(*) FROM " + ", ".join(f"t AS t{i}" for i in range(9)),  # 20 thousand million
        "SELECT n FROM t WHERE n = " + "(" * 900 + "1" + ")" * 900,
        "SELECT n FROM t WHERE n > 1" + " AND n > 1" * 400, "SELECT", "",
    ]  # fmt: skip
    assert results(("n", "s"), ROWS, forbidden) == [None] * len(forbidden)
    assert not there.exists()
    allowed = results(("n", "s"), ROWS, [*forbidden, "SELECT COUNT ( * ) FROM t"])[-1]
    assert allowed is not None
    assert (allowed.names, allowed.rows) == (("COUNT(*)",), ((14,),))


def test_a_prompt_of_another_task_is_refused() -> None:
    for words in (["sort", "1"], PROMPT[:-1], [*PROMPT[:3], ":", "total", "kind"],
                  ["price", "price", *PROMPT[2:]], [*PROMPT, "and"]):  # fmt: skip
        with pytest.raises(BadInput, match="minisql has no such prompt"):
            TASK.reward(words, RIGHT.split())


def test_the_criteria_are_the_aspects_of_the_tasks_reward() -> None:
    from meritree.align.lab.model import Vocabulary

    words = Vocabulary(TASK)
    samples = [
        Sample(words.prompt(PROMPT), words.answer(query.split()), i)
        for i, query in enumerate((RIGHT.replace("MAX", "AVG"), RIGHT))
    ]
    made = task_reward(TASK)(samples)
    assert made.score == [0.0, 1.0]
    assert made.aspects == [[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]]

"""Questions about a table, SQL answers with known slips, and how good each answer really is.

An answer's worth comes from running it on random databases; its parts are known because we wrote
them. Knows no judge and no rubric of a study.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from random import Random

from meritree.respond.rubric import Rubric

GROUPS = ("city", "kind")
NUMBERS = ("price", "size", "stock")
AGGREGATES = {"SUM": "total", "MAX": "largest", "MIN": "smallest"}
OPERATORS = {">": "over", ">=": "at least", "<": "below", "<=": "at most"}
# (part, category of the paper, what is asked); {} is filled in for a question.
STATED = (
    ("runs", "essential", "is valid SQL for the table"),
    ("group", "essential", "gives one row for each {group}"),
    ("aggregate", "essential", "computes the {word}, not another function"),
    ("column", "essential", "computes it of {column}"),
    ("first", "essential", "keeps only goods whose {first}"),
    ("second", "essential", "keeps only goods whose {second}"),
    ("others", "pitfall", "does not return further columns"),
    ("order", "important", "gives the rows in the order asked ({order})"),
    ("limit", "important", "gives at most {limit} rows"),
    ("named", "optional", "names the computed column {word}"),
)
PARTS = tuple(part for part, _, _ in STATED)
GENERIC = (
    ("runs", "essential", "is valid SQL for the table"),
    ("filters", "essential", "keeps only some of the goods"),
    ("sorted", "important", "sorts its rows"),
    ("named", "optional", "names what it computes"),
    ("plain", "optional", "has no needless negation"),
)
_MOST_SLIPS = 4
_ROWS = 24  # of a database
_VALUES = 8  # different values of a number, so that a wrong boundary matters on some databases


@dataclass(frozen=True, slots=True)
class Condition:
    """``column operator constant`` over whole numbers."""

    column: str
    operator: str
    constant: int

    @property
    def words(self) -> str:
        """In words."""
        return f"{self.column} is {OPERATORS[self.operator]} {self.constant}"

    @property
    def sql(self) -> str:
        """As it is usually written."""
        return f"{self.column} {self.operator} {self.constant}"

    def equal_to(self, rng: Random) -> str:
        """Another way to say the same."""
        turned = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}[self.operator]
        step = {">": (">=", 1), ">=": (">", -1), "<": ("<=", -1), "<=": ("<", 1)}[self.operator]
        return rng.choice(
            [
                self.sql,
                f"NOT {self.column} {turned} {self.constant}",
                f"{self.column} {step[0]} {self.constant + step[1]}",
            ]
        )

    def wrong(self, rng: Random) -> str:
        """Something near it that keeps other rows; empty: the condition is forgotten."""
        edge = {">": ">=", ">=": ">", "<": "<=", "<=": "<"}[self.operator]
        turned = {">": "<", ">=": "<=", "<": ">", "<=": ">="}[self.operator]
        return rng.choice(
            [
                "",
                f"{self.column} {edge} {self.constant}",
                f"{self.column} {turned} {self.constant}",
                f"{self.column} {self.operator} {self.constant + 1}",
            ]
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the table ``goods``."""

    group: str
    aggregate: str
    column: str
    conditions: tuple[Condition, Condition]
    down: bool
    limit: int

    @property
    def word(self) -> str:
        """Name of what is computed."""
        return AGGREGATES[self.aggregate]

    @property
    def text(self) -> str:
        """The question as a judge reads it."""
        first, second = self.conditions
        return (
            f"Table goods(city, kind, price, size, stock). For each {self.group} give the "
            f"{self.word} {self.column} of the goods whose {first.words} and whose "
            f"{second.words}; {self._order} first, equal ones by {self.group}; at most "
            f"{self.limit} rows. Columns: {self.group}, {self.word}."
        )

    @property
    def _order(self) -> str:
        return "largest" if self.down else "smallest"

    def rubric(self, stated: Sequence[tuple[str, str, str]] = STATED) -> Rubric:
        """Criteria with the paper's weights, filled in for this question."""
        filled = {
            "group": self.group,
            "word": self.word,
            "column": self.column,
            "first": self.conditions[0].words,
            "second": self.conditions[1].words,
            "order": f"{self._order} first",
            "limit": self.limit,
        }
        return Rubric.of_categories(
            [(name, kind, text.format(**filled)) for name, kind, text in stated]
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """A query, what is right about it, and what it is worth.

    Attributes:
        sql: the query.
        facts: name of a criterion -> whether the answer really meets it.
        gold: in [0, 1], by running it; see `worth`.
    """

    sql: str
    facts: Mapping[str, bool]
    gold: float


def drawn_question(rng: Random) -> Question:
    """A question by chance."""
    first, second = rng.sample(NUMBERS, 2)
    return Question(
        group=rng.choice(GROUPS),
        aggregate=rng.choice(list(AGGREGATES)),
        column=rng.choice(NUMBERS),
        conditions=(_condition(first, rng), _condition(second, rng)),
        down=rng.random() < 0.5,
        limit=rng.randint(2, 4),
    )


def drawn_answers(question: Question, count: int, databases: int, rng: Random) -> list[Answer]:
    """Answers with none to four slips, judged on databases of their own chance."""
    slips = [set(rng.sample(PARTS, rng.randint(0, _MOST_SLIPS))) for _ in range(count)]
    written = [(_query(question, wrong, rng), wrong) for wrong in slips]
    asked = _query(question, set(), None)
    gold = worth(asked, [sql for sql, _ in written], databases, rng)
    return [
        Answer(sql, _facts(sql, wrong), value)
        for (sql, wrong), value in zip(written, gold, strict=True)
    ]


def worth(asked: str, answers: Sequence[str], databases: int, rng: Random) -> list[float]:
    """How near each answer's rows are to those asked for, on average over random databases.

    The F1 of the rows (as a multiset, over the first two columns), halved where they stand in
    another order, and halved where there are further columns; 0 where the answer cannot be run.
    """
    totals = [0.0] * len(answers)
    for _ in range(databases):
        with closing(_database(rng)) as database:
            right = database.execute(asked).fetchall()
            for place, answer in enumerate(answers):
                totals[place] += _likeness(database, answer, right)
    return [total / databases for total in totals]


def _likeness(
    database: sqlite3.Connection, answer: str, right: Sequence[tuple[object, ...]]
) -> float:
    try:
        cursor = database.execute(answer)
        given = cursor.fetchall()
    except sqlite3.Error:
        return 0.0
    rows = [row[:2] for row in given]
    common = sum((Counter(rows) & Counter(right)).values())
    score = 2.0 * common / (len(rows) + len(right)) if rows or right else 1.0
    kept = [row for row in rows if row in right]
    score *= 1.0 if kept == [row for row in right if row in kept] else 0.5
    return score * (1.0 if len(cursor.description) == 2 else 0.5)


def _database(rng: Random) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE goods (city TEXT, kind TEXT, price INT, size INT, stock INT)")
    rows = [
        (rng.choice("ABCDE"), rng.choice("tuvwx"), *(rng.randint(1, _VALUES) for _ in NUMBERS))
        for _ in range(_ROWS)
    ]
    database.executemany("INSERT INTO goods VALUES (?, ?, ?, ?, ?)", rows)
    return database


def _condition(column: str, rng: Random) -> Condition:
    operator = rng.choice(list(OPERATORS))
    half = _VALUES // 2
    # Most rows pass, so that two conditions leave some.
    constant = (
        rng.randint(2, half - 1) if operator[0] == ">" else rng.randint(half + 1, _VALUES - 1)
    )
    return Condition(column, operator, constant)


def _query(question: Question, wrong: set[str], rng: Random | None) -> str:
    """SQL for the question with some parts wrong; without chance: the plain reference."""

    def other(right: str, among: Sequence[str]) -> str:
        assert rng is not None
        return rng.choice([one for one in among if one != right])

    group = other(question.group, GROUPS) if "group" in wrong else question.group
    function = (
        other(question.aggregate, list(AGGREGATES)) if "aggregate" in wrong else question.aggregate
    )
    column = other(question.column, NUMBERS) if "column" in wrong else question.column
    where = []
    for name, condition in zip(("first", "second"), question.conditions, strict=True):
        if rng is None:
            where.append(condition.sql)
        else:
            where.append(condition.wrong(rng) if name in wrong else condition.equal_to(rng))
    kept = " AND ".join(one for one in where if one)
    shown = [group, f"{function}({column})" + ("" if "named" in wrong else f" AS {question.word}")]
    if "others" in wrong:
        shown.append("COUNT(*)")
    down = question.down != ("order" in wrong)
    limit = question.limit
    if "limit" in wrong:
        assert rng is not None
        limit = question.limit + rng.choice([-1, 1, 10])
    sql = (
        f"SELECT {', '.join(shown)} FROM goods{f' WHERE {kept}' if kept else ''} GROUP BY {group} "
        f"ORDER BY {function}({column}) {'DESC' if down else 'ASC'}, {group} LIMIT {limit}"
    )
    if "runs" in wrong:
        assert rng is not None
        old, new = rng.choice(
            [(" FROM", ""), ("GROUP BY", "GROUP"), ("goods", "good"), ("(", "((")]
        )
        sql = sql.replace(old, new, 1)
    return sql


def _facts(sql: str, wrong: set[str]) -> dict[str, bool]:
    facts = {part: part not in wrong for part in PARTS}
    return facts | {
        "filters": "WHERE" in sql,
        "sorted": "ORDER BY" in sql,
        "plain": "NOT" not in sql,
    }

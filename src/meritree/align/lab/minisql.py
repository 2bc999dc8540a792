"""Questions about a small table, answered in SQL: many queries are right, SQLite says which.

A prompt names the table's three columns and asks in a controlled language; a query is right if it
gives the rows of a known right one on two databases, which follow from the prompt alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from random import Random

from meritree.align.lab._sqlite import Cell, Result, results
from meritree.align.lab.tasks import Words
from meritree.errors import BadInput

TEXT, NUMBER = ("city", "kind", "colour"), ("price", "size", "stock", "age")
VALUES = ("'a'", "'b'", "'c'")
AGGREGATES = {"total": "SUM", "largest": "MAX", "smallest": "MIN", "mean": "AVG"}
SIGNS = {"over": ">", "below": "<", "at-least": ">=", "at-most": "<=", "is": "="}
_SQL = (
    "SELECT", "DISTINCT", "FROM", "t", "WHERE", "AND", "OR", "NOT", "GROUP", "BY", "COUNT",
    *AGGREGATES.values(), *SIGNS.values(), "(", ")", ",", "*",
)  # fmt: skip
_ASKED = (":", "show", "different", "number", *AGGREGATES, "per", "where", "and", "or", "not",
          *SIGNS)  # fmt: skip
CRITERIA = ("executes", "columns", "rows", "short")
_TABLES, _ROWS = 12, 14  # tables that are drawn, rows of each


@dataclass(frozen=True, slots=True)
class Condition:
    """``column sign value``, signs as in the prompt; ``not`` for texts that differ."""

    column: str
    sign: str
    value: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a prompt asks.

    Attributes:
        columns: of the table, in its order.
        what: ``show``, ``different``, ``number`` or a key of `AGGREGATES`.
        of: the columns that it is about; none for ``number``.
        per: the column of the groups, or "".
        where: at most two conditions.
        join: ``and`` or ``or``.
    """

    columns: tuple[str, ...]
    what: str
    of: tuple[str, ...]
    per: str = ""
    where: tuple[Condition, ...] = ()
    join: str = "and"


@dataclass(frozen=True)
class MiniSql:
    """Prompt ``COLUMN COLUMN COLUMN : QUESTION``, answer an SQL query on the table ``t``."""

    name: str = "minisql"
    longest: int = 24
    criteria: tuple[str, ...] = CRITERIA

    @property
    def words(self) -> tuple[str, ...]:
        """Words of SQL (24), of questions, columns, values and digits."""
        return (*_SQL, *_ASKED, *TEXT, *NUMBER, *VALUES, *"0123456789")

    def draw(self, rng: Random) -> tuple[list[str], list[str]]:
        """A right answer, one of the ways to write it."""
        question = drawn(rng)
        return prompt_of(question), query_of(question, rng)

    def reward(self, prompt: Words, answer: Words) -> float:
        """1 where the query gives the right rows on both databases, in any order."""
        return self.judged(prompt, answer)[0]

    def judged(self, prompt: Words, answer: Words) -> tuple[float, list[float]]:
        """The reward, and whether the query runs, has the right columns, rows and is short.

        ``columns`` goes by SQLite's names for them, ``rows`` is the share of databases on which
        they are right, ``short`` means no longer than the plainest right query. The last is met
        by wrong and empty queries, too: it is for rubrics, whose other criteria are not.
        """
        question, databases = _exam(tuple(prompt))
        plain = query_of(question)
        known = set(answer) <= set(_SQL) | set(question.columns) | {*VALUES, *"0123456789"}
        two = [
            results(question.columns, rows, [" ".join(plain), " ".join(answer)])
            for rows in databases
        ]
        runs = bool(answer) and known and all(given is not None for _, given in two)
        same = [runs and _same(right, given) for right, given in two]
        named = runs and all(g and r and g.names == r.names for r, g in two)
        short = len(answer) <= len(plain)
        aspects = [float(runs), float(named), sum(same) / 2, float(short)]
        return float(all(same)), aspects


TASK = MiniSql()


def drawn(rng: Random) -> Question:
    """A random table and a random question about it."""
    text, numbers = rng.choice(TEXT), rng.sample(NUMBER, 2)
    columns = tuple(rng.sample([text, *numbers], 3))
    what = rng.choice(("show", "show", "different", "number", *AGGREGATES))
    of: tuple[str, ...] = ()
    if what == "show":
        of = tuple(rng.sample(columns, rng.randint(1, 2)))
    elif what == "different":
        of = (rng.choice(columns),)
    elif what in AGGREGATES:
        of = (rng.choice(numbers),)
    per = text if what not in ("show", "different") and rng.random() < 0.4 else ""
    about = rng.sample([one for one in columns if one != per], rng.choice((0, 1, 1, 2)))
    where = tuple(_condition(column, rng) for column in about)
    return Question(
        columns, what, of, per, where, rng.choice(("and", "or")) if about[1:] else "and"
    )


def prompt_of(question: Question) -> list[str]:
    """The words of a prompt."""
    words = [*question.columns, ":", question.what, *question.of]
    words += ["per", question.per] if question.per else []
    for number, one in enumerate(question.where):
        words += [question.join if number else "where", one.column, one.sign, one.value]
    return words


def question_of(prompt: Words) -> Question:
    """What a prompt asks.

    Raises:
        BadInput: it is none of this task's.
    """
    words = list(prompt)
    try:
        columns, rest = tuple(words[:3]), words[4:]
        at = rest.index("where") if "where" in rest else len(rest)
        head, tail = rest[:at], rest[at:]
        per = head[-1] if head[-2:-1] == ["per"] else ""
        of = tuple(head[1:-2] if per else head[1:])
        where = tuple(Condition(*tail[i + 1 : i + 4]) for i in range(0, len(tail), 4))
        question = Question(columns, head[0], of, per, where, tail[4] if tail[4:] else "and")
    except (IndexError, TypeError):
        question = None
    if question is None or not _sound(question) or prompt_of(question) != words:
        raise BadInput(f"minisql has no such prompt: {' '.join(words)!r}; draw one")
    return question


def query_of(question: Question, rng: Random | None = None) -> list[str]:
    """The plainest right query, or with a generator one of those that mean the same."""
    where = list(question.where)
    if rng is not None and rng.random() < 0.5:
        where.reverse()
    picked = [word for column in question.of for word in (",", column)][1:]
    if question.what == "number":
        picked = ["COUNT", "(", "*", ")"]
    elif question.what in AGGREGATES:
        picked = [AGGREGATES[question.what], "(", *picked, ")"]
    elif question.what == "different":
        picked = ["DISTINCT", *picked]
    words = ["SELECT", *([question.per, ","] if question.per else []), *picked, "FROM", "t"]
    for number, one in enumerate(where):
        words += [question.join.upper() if number else "WHERE", *_written(one, rng)]
    return words + (["GROUP", "BY", question.per] if question.per else [])


def _written(one: Condition, rng: Random | None) -> list[str]:
    """A condition in SQL; numbers are whole, so ``> 3`` may be ``>= 4``."""
    if one.sign == "not":
        return ["NOT", one.column, "=", one.value]
    moved = {"over": (">=", 1), "below": ("<=", -1), "at-least": (">", -1), "at-most": ("<", 1)}
    if rng is not None and one.sign in moved and rng.random() < 0.25:
        sign, by = moved[one.sign]
        if 0 <= int(one.value) + by <= 9:
            return [one.column, sign, str(int(one.value) + by)]
    return [one.column, SIGNS[one.sign], one.value]


def _condition(column: str, rng: Random) -> Condition:
    if column in TEXT:
        return Condition(column, rng.choice(("is", "not")), rng.choice(VALUES))
    return Condition(column, rng.choice(tuple(SIGNS)), str(rng.randint(1, 8)))


def _sound(question: Question) -> bool:
    numbers = [one for one in question.columns if one in NUMBER]
    sizes = {"show": (1, 2), "different": (1,), "number": (0,)}
    if question.what not in (*sizes, *AGGREGATES) or len({*question.columns}) != 3:
        return False
    if len(numbers) != 2 or not any(one in TEXT for one in question.columns):
        return False
    fits = set(question.of) <= set(numbers if question.what in AGGREGATES else question.columns)
    fits = fits and len(question.of) in sizes.get(question.what, (1,))
    fits = fits and question.per in ("", *(c for c in question.columns if c in TEXT))
    fits = fits and not (question.per and question.what in ("show", "different"))
    return fits and question.join in ("and", "or") and all(
        one.column in question.columns
        and (
            one.value in VALUES and one.sign in ("is", "not")
            if one.column in TEXT
            else one.value in tuple("0123456789") and one.sign in SIGNS
        )
        for one in question.where
    )  # fmt: skip


def _same(right: Result | None, given: Result | None) -> bool:
    if right is None or given is None:
        return False
    return Counter(map(_cells, right.rows)) == Counter(map(_cells, given.rows))


def _cells(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
    return tuple(round(x, 9) if isinstance(x, float) else x for x in row)


@lru_cache(maxsize=4096)
def _exam(prompt: tuple[str, ...]) -> tuple[Question, tuple[list[tuple[Cell, ...]], ...]]:
    """A prompt's question and its two databases, which show as many likely slips as they can."""
    question = question_of(prompt)
    tables = [_table(question, f"minisql {' '.join(prompt)} {i}") for i in range(_TABLES)]
    queries = [" ".join(query_of(one)) for one in (question, *slips(question))]
    shown = []
    for rows in tables:
        right, *wrong = results(question.columns, rows, queries)
        shown.append({i for i, one in enumerate(wrong) if not _same(right, one)})
    pairs = list(combinations(range(_TABLES), 2))
    best = max(pairs, key=lambda two: len(shown[two[0]] | shown[two[1]]))
    return question, tuple(tables[i] for i in best)


def _table(question: Question, seed: str) -> list[tuple[Cell, ...]]:
    """Half of the numbers lie at a border of the question, where slips show."""
    rng = Random(seed)
    borders = [int(one.value) for one in question.where if one.column in NUMBER] or [5]

    def cell(column: str) -> Cell:
        if column in TEXT:
            return rng.choice(VALUES)[1:-1]
        near = rng.choice(borders) + rng.choice((-1, 0, 1))
        return near if rng.random() < 0.5 else rng.randint(0, 99 if rng.random() < 0.3 else 9)

    return [tuple(cell(column) for column in question.columns) for _ in range(_ROWS)]


def slips(question: Question) -> list[Question]:
    """Questions that are almost this one: what a careless query answers instead."""
    found = [replace(question, join="or" if question.join == "and" else "and")]
    found = found if len(question.where) == 2 else []
    for i, one in enumerate(question.where):
        before, after = question.where[:i], question.where[i + 1 :]
        found.append(replace(question, where=before + after))
        others = ("is", "not") if one.column in TEXT else tuple(SIGNS)
        changed = [replace(one, sign=sign) for sign in others if sign != one.sign]
        if one.column in NUMBER:
            columns = [c for c in question.columns if c in NUMBER and c != one.column]
            changed += [replace(one, column=c) for c in columns]
            changed += [replace(one, value=str(int(one.value) + by)) for by in (-1, 1)]
        else:
            changed += [replace(one, value=value) for value in VALUES if value != one.value]
        found += [replace(question, where=(*before, new, *after)) for new in changed]
    if question.what in AGGREGATES:
        found += [replace(question, what=what) for what in AGGREGATES if what != question.what]
        found += [replace(question, of=(c,)) for c in question.columns if c not in TEXT]
    if question.what == "different":
        found.append(replace(question, what="show"))
    return [one for one in found if one != question]

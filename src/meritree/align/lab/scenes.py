"""Scenes: a grid of coloured shapes as words, six kinds of questions, a reward for each kind.

Matching, numbers within a tolerance, boxes by their overlap, captions by similarity: the formulas
are those of `meritree.objectives.rewards`. A picture's model would plug in through the same reward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from meritree.align.lab.tasks import Words
from meritree.errors import BadInput

COLOURS, SHAPES = ("red", "green", "blue"), ("disc", "square", "star")
EMPTY = "."
SIDE = 3
OBJECTS = tuple(f"{colour}-{shape}" for colour in COLOURS for shape in SHAPES)
LETTERS = ("A", "B", "C")
KINDS = ("any", "which", "count", "average", "box", "describe")
"""Yes or no; multiple choice; two kinds of numbers; a box; a caption."""
TOLERANCE = 0.05
KINSHIP = 0.5  # how far a caption's words resemble those of their sort


@dataclass(frozen=True)
class Scenes:
    """Prompt: nine cells, row by row, and a question that begins with one of `KINDS`.

    ============================ =============== ================================== ==============
    question                     answer          what                               reward
    ============================ =============== ================================== ==============
    ``any COLOUR SHAPE``         ``yes``, ``no`` whether there is one               1 if equal
    ``which R C A x B y C z``    a letter        what lies in row R, column C       1 if equal
    ``count WORD``               ``2``           objects of that colour or shape    1 within 5 %
    ``average WORD``             ``0 . 6 7``     of them a row                      1 within 5 %
    ``box WORD``                 ``x0 y0 x1 y1`` the smallest box around all        IoU
    ``describe``                 words           colour and shape of each object    similarity
    ============================ =============== ================================== ==============
    """

    name: str = "scenes"
    longest: int = 15

    @property
    def words(self) -> tuple[str, ...]:
        """Objects, colours, shapes, kinds of questions, letters and digits."""
        return (
            *OBJECTS, EMPTY, *COLOURS, *SHAPES, *KINDS, "yes", "no", *LETTERS, "and",
            *"0123456789",
        )  # fmt: skip

    def draw(self, rng: Random) -> tuple[list[str], list[str]]:
        """Three to five objects, a question of any kind, and a right answer."""
        grid = [EMPTY] * SIDE**2
        for place in rng.sample(range(SIDE**2), rng.randint(3, 5)):
            grid[place] = rng.choice(OBJECTS)
        kind = rng.choice(KINDS)
        prompt = [*grid, kind, *_question(kind, grid, rng)]
        return prompt, answer_of(prompt, rng)

    def reward(self, prompt: Words, answer: Words) -> float:
        """In [0, 1], by the kind of the question; 0 for what cannot be read as its answer.

        Raises:
            BadInput: the prompt is none of this task's.
        """
        return _REWARDS[kind_of(prompt)](prompt, answer)


TASK = Scenes()


def kind_of(prompt: Words) -> str:
    """Which of `KINDS` a prompt is.

    Raises:
        BadInput: none.
    """
    cells, rest = prompt[: SIDE**2], list(prompt[SIDE**2 :])
    sizes = {"any": 2, "which": 8, "count": 1, "average": 1, "box": 1, "describe": 0}
    if (
        len(cells) != SIDE**2
        or not set(cells) <= {*OBJECTS, EMPTY}
        or not rest
        or sizes.get(rest[0]) != len(rest) - 1
    ):
        raise BadInput(f"scenes has no such prompt: {' '.join(prompt)!r}; draw one")
    return rest[0]


def answer_of(prompt: Words, rng: Random | None = None) -> list[str]:
    """A right answer; captions name the objects in a drawn order, or row by row.

    Raises:
        BadInput: the prompt is none of this task's.
    """
    kind, grid, asked = kind_of(prompt), prompt[: SIDE**2], prompt[SIDE**2 + 1 :]
    if kind == "any":
        return ["yes" if "-".join(asked) in grid else "no"]
    if kind == "which":
        return [asked[asked.index(_cell(grid, asked), 2) - 1]]
    if kind == "describe":
        objects = [one for one in grid if one != EMPTY]
        if rng is not None:
            rng.shuffle(objects)
        return [word for one in objects for word in ("and", *one.split("-"))][1:]
    places = [i for i, one in enumerate(grid) if asked[0] in one.split("-")]
    if kind == "count":
        return [str(len(places))]
    if kind == "average":
        return list(f"{len(places) / SIDE:.2f}")
    columns, rows = [i % SIDE for i in places], [i // SIDE for i in places]
    box = (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
    return [str(number) for number in box]


def number_of(answer: Words) -> float | None:
    """The number that words spell: digits with at most one point between them."""
    text = "".join(answer)
    whole, point, part = text.partition(".")
    if not whole.isdecimal() or (point and not part.isdecimal()):
        return None
    return float(text)


def _question(kind: str, grid: Words, rng: Random) -> list[str]:
    objects = [one for one in grid if one != EMPTY]
    if kind == "any":
        return rng.choice(objects if rng.random() < 0.5 else OBJECTS).split("-")
    if kind == "which":
        row, column = rng.randint(1, SIDE), rng.randint(1, SIDE)
        right = grid[SIDE * (row - 1) + column - 1]
        wrong = [one for one in (*OBJECTS, EMPTY) if one != right]
        choices = [right, *rng.sample(wrong, len(LETTERS) - 1)]
        rng.shuffle(choices)
        lettered = [word for two in zip(LETTERS, choices, strict=True) for word in two]
        return [str(row), str(column), *lettered]
    if kind == "box":  # of something that is there
        return [rng.choice(rng.choice(objects).split("-"))]
    return [] if kind == "describe" else [rng.choice((*COLOURS, *SHAPES))]


def _cell(grid: Words, asked: Words) -> str:
    return grid[SIDE * (int(asked[0]) - 1) + int(asked[1]) - 1]


def _match(prompt: Words, answer: Words) -> float:
    return float(list(answer) == answer_of(prompt))


def _number(prompt: Words, answer: Words) -> float:
    import numpy as np

    from meritree.objectives.rewards import relative_tolerance

    value, right = number_of(answer), number_of(answer_of(prompt))
    if value is None or right is None:
        return 0.0
    return float(relative_tolerance(np.array(value), np.array(right), TOLERANCE))


def _box(prompt: Words, answer: Words) -> float:
    import numpy as np

    from meritree.objectives.rewards import iou

    if len(answer) != 4 or not all(word.isdecimal() for word in answer):
        return 0.0
    boxes = [np.array([float(word) for word in one]) for one in (answer, answer_of(prompt))]
    return float(iou(*boxes))


def _caption(prompt: Words, answer: Words) -> float:
    """`bmas` of words at right angles, but for what those of a sort have in common; in [0, 1].

    Blind to which colour goes with which shape, and to right words said again.
    """
    import numpy as np

    from meritree.objectives.rewards import bmas

    bags = [[w for w in one if w != "and"] for one in (answer, answer_of(prompt))]
    if not all(bags):
        return 0.0
    index = {word: i for i, word in enumerate(TASK.words)}
    sorts = (COLOURS, SHAPES)
    embedded = []
    for bag in bags:
        table = np.zeros((1, len(bag), len(index) + len(sorts)))
        for i, word in enumerate(bag):
            table[0, i, index[word]] = 1.0
            for j, sort in enumerate(sorts):
                table[0, i, len(index) + j] = KINSHIP * (word in sort)
        embedded.append(table)
    ones = [np.ones(one.shape[:2]) for one in embedded]
    return round(min(1.0, float(bmas(*embedded, *ones)[0])), 12)


_REWARDS: Mapping[str, Callable[[Words, Words], float]] = {
    "any": _match, "which": _match, "count": _number, "average": _number, "box": _box,
    "describe": _caption,
}  # fmt: skip

"""Seeded random inputs for the forty classic small programs, and comparison of two versions.

Runs stand-alone in a process of its own, because a version under judgement may hang or eat
memory: it imports nothing but the standard library.
Usage: python quixbugs_inputs.py PROGRAM REFERENCE.py OTHER.py SEED COUNT OUT.json
"""

from __future__ import annotations

import json
import math
import resource
import signal
import string
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any

MAX_ITEMS = 20_000  # items taken from a generator
SECONDS = 1.0  # per call
BYTES = 2 * 2**30  # address space of the judging process


class OutOfTime(BaseException):
    """A call ran longer than SECONDS."""


class Node:
    """A vertex or list cell with the attributes that the programs read."""

    def __init__(self, value: object, successor: Node | None = None) -> None:
        self.value = value
        self.successor = successor
        self.successors: list[Node] = []
        self.predecessors: list[Node] = []
        self.incoming_nodes: list[Node] = []
        self.outgoing_nodes: list[Node] = []


Arguments = tuple[Any, ...]
Generator = Callable[[Random], Arguments]


def _integers(r: Random, low: int, high: int, most: int = 12, least: int = 0) -> list[int]:
    return [r.randint(low, high) for _ in range(r.randint(least, most))]


def _distinct(r: Random, most: int = 9, least: int = 0) -> list[int]:
    return r.sample(range(-30, 60), r.randint(least, most))


def _word(r: Random, letters: str, most: int) -> str:
    return "".join(r.choice(letters) for _ in range(r.randint(0, most)))


def _graph(r: Random, directed_down: bool = False) -> list[Node]:
    nodes = [Node(i) for i in range(r.randint(1, 7))]
    for i, node in enumerate(nodes):
        for j, other in enumerate(nodes):
            if (j > i or not directed_down) and r.random() < 0.3:
                node.successors.append(other)
                other.predecessors.append(node)
    return nodes


def _chain(r: Random, cyclic: bool) -> Node | None:
    head: Node | None = None
    cells: list[Node] = []
    for i in range(r.randint(0, 8)):
        head = Node(i, head)
        cells.append(head)
    if cyclic and cells and r.random() < 0.5:
        cells[0].successor = r.choice(cells)
    return head


def _nested(r: Random, depth: int = 3) -> list[Any]:
    return [
        _nested(r, depth - 1) if depth and r.random() < 0.4 else r.randint(0, 9)
        for _ in range(r.randint(0, 4))
    ]


def _nearly_sorted(r: Random) -> Arguments:
    k = r.randint(0, 5)
    values = sorted(_integers(r, 0, 30))
    shuffled: list[int] = []
    for start in range(0, len(values), k + 1):
        block = values[start : start + k + 1]
        r.shuffle(block)
        shuffled += block
    return shuffled, k


def _weights(r: Random, count: int) -> list[int]:
    return r.sample(range(1, 1000), count)  # distinct: no ties to break


def _path_graph(r: Random) -> Arguments:
    nodes = _graph(r)
    edges = [(a, b) for a in nodes for b in a.successors]
    lengths = dict(zip(edges, _weights(r, len(edges)), strict=True))
    return lengths, r.choice(nodes), r.choice(nodes)


def _numbered_edges(r: Random, n: int, low: int, share: float = 0.4) -> dict[tuple[int, int], int]:
    return {
        (i, j): r.randint(low, 20)
        for i in range(n)
        for j in range(i + 1 if low < 0 else 0, n)  # negative lengths: no cycles
        if i != j and r.random() < share
    }


def _from_source(r: Random) -> Arguments:
    names = string.ascii_uppercase[: r.randint(2, 7)]
    numbered = _numbered_edges(r, len(names), r.choice([-5, 1]))
    edges = {(names[i], names[j]): weight for (i, j), weight in numbered.items()}
    for name in names[1:]:
        edges.setdefault((names[0], name), r.randint(1, 40))
    pairs = list(edges.items())
    r.shuffle(pairs)
    return names[0], dict(pairs)


def _tree_edges(r: Random) -> Arguments:
    n = r.randint(2, 7)
    edges = {(r.randrange(i), i) for i in range(1, n)}
    edges |= {(i, j) for i in range(n) for j in range(i + 1, n) if r.random() < 0.4}
    ordered = sorted(edges)
    r.shuffle(ordered)
    return (dict(zip(ordered, _weights(r, len(ordered)), strict=True)),)


def _dag(r: Random) -> Arguments:
    nodes = [Node(i) for i in range(r.randint(1, 8))]
    for i, node in enumerate(nodes):
        for other in nodes[i + 1 :]:
            if r.random() < 0.35:
                node.outgoing_nodes.append(other)
                other.incoming_nodes.append(node)
    r.shuffle(nodes)
    return (nodes,)


def _palindrome(r: Random) -> Arguments:
    half = [r.choice([9, 9, r.randint(0, 9)]) for _ in range(r.randint(0, 4))]
    half[:1] = [r.randint(1, 9)] if half else []
    middle = [r.choice([9, r.randint(1, 9)])] if not half or r.random() < 0.5 else []
    return ([*half, *middle, *reversed(half)],)


def _postfix(r: Random) -> Arguments:
    tokens: list[Any] = [float(r.randint(0, 9))]
    depth = 1
    while depth > 1 or (len(tokens) < 12 and r.random() < 0.8):
        if depth > 1 and r.random() < 0.5:
            tokens.append(r.choice("+-*/"))
            depth -= 1
        else:
            tokens.append(float(r.randint(0, 9)))
            depth += 1
    return (tokens,)


def _infix(r: Random) -> Arguments:
    tokens: list[Any] = []
    for i in range(r.randint(0, 7)):
        tokens += [r.choice("+-*/")] if i else []
        tokens.append(r.randint(0, 99))
    return (tokens,)


def _paragraph(r: Random) -> Arguments:
    columns = r.randint(5, 30)
    words = [
        "".join(r.choice("abcde") for _ in range(r.randint(1, columns - 2)))
        for _ in range(r.randint(0, 15))
    ]
    return " ".join(words), columns


def _from_graph(r: Random) -> Arguments:
    nodes = _graph(r)
    return r.choice(nodes), r.choice(nodes)


def _hanoi(r: Random) -> Arguments:
    start, end = r.sample([1, 2, 3], 2)
    return r.randint(0, 6), start, end


def _knapsack(r: Random) -> Arguments:
    items = [[r.randint(1, 12), r.randint(1, 40)] for _ in range(r.randint(0, 7))]
    return r.randint(1, 40), items


def _kth(r: Random) -> Arguments:
    values = _integers(r, 0, 15, least=1)
    return values, r.randrange(len(values))


def _bucketsort(r: Random) -> Arguments:
    k = r.randint(1, 15)
    return _integers(r, 0, k - 1), k


def _subsequences(r: Random) -> Arguments:
    a = r.randint(-3, 8)
    return a, a + r.randint(-2, 7), r.randint(0, 4)


def _sorted_and_wanted(r: Random) -> Arguments:
    values = sorted(_integers(r, 0, 12))
    return values, r.randint(-1, 13)


GENERATORS: Mapping[str, Generator] = {
    "bitcount": lambda r: (r.choice([r.randint(0, 20), r.randint(0, 10**6)]),),
    "breadth_first_search": _from_graph,
    "bucketsort": _bucketsort,
    "depth_first_search": _from_graph,
    "detect_cycle": lambda r: (_chain(r, cyclic=True),),
    "find_first_in_sorted": _sorted_and_wanted,
    "find_in_sorted": _sorted_and_wanted,
    "flatten": lambda r: (_nested(r),),
    "gcd": lambda r: (r.randint(0, 300), r.randint(0, 300)),
    "get_factors": lambda r: (r.randint(1, 2000),),
    "hanoi": _hanoi,
    "is_valid_parenthesization": lambda r: (_word(r, "()", 8),),
    "kheapsort": _nearly_sorted,
    "knapsack": _knapsack,
    "kth": _kth,
    "lcs_length": lambda r: (_word(r, "abc", 8), _word(r, "abc", 8)),
    "levenshtein": lambda r: (_word(r, "abc", 5), _word(r, "abc", 5)),
    "lis": lambda r: (_distinct(r),),
    "longest_common_subsequence": lambda r: (_word(r, "abcd", 7), _word(r, "abcd", 7)),
    "max_sublist_sum": lambda r: (_integers(r, -9, 9),),
    "mergesort": lambda r: (_integers(r, -20, 20),),
    "minimum_spanning_tree": _tree_edges,
    "next_palindrome": _palindrome,
    "next_permutation": lambda r: (_distinct(r, least=1),),
    "pascal": lambda r: (r.randint(1, 9),),
    "possible_change": lambda r: (r.sample(range(1, 15), r.randint(0, 4)), r.randint(-3, 25)),
    "powerset": lambda r: (_distinct(r, most=6),),
    "quicksort": lambda r: (_integers(r, -10, 10),),
    "reverse_linked_list": lambda r: (_chain(r, cyclic=False),),
    "rpn_eval": _postfix,
    "shortest_path_length": _path_graph,
    "shortest_path_lengths": lambda r: (
        (n := r.randint(1, 6)),
        _numbered_edges(r, n, r.choice([-5, 1])),
    ),
    "shortest_paths": _from_source,
    "shunting_yard": _infix,
    "sieve": lambda r: (r.randint(0, 80),),
    "sqrt": lambda r: (r.choice([r.uniform(0.5, 100), r.randint(1, 99)]), r.uniform(1e-4, 0.5)),
    "subsequences": _subsequences,
    "to_base": lambda r: (r.randint(1, 10**5), r.randint(2, 36)),
    "topological_ordering": _dag,
    "wrap": _paragraph,
}


def arguments(program: str, seed: int, number: int) -> Arguments:
    """The ``number``-th input of a program: the same for every call with the same seed."""
    return GENERATORS[program](Random(f"{program}/{seed}/{number}"))


def plain(value: object, limit: int = MAX_ITEMS) -> object:
    """A result without identities: vertices by value, lists from generators, plain containers."""
    if isinstance(value, Node):
        cells: list[object] = []
        node: Node | None = value
        while isinstance(node, Node) and len(cells) < 50:
            cells.append(node.value)
            node = node.successor
        return ("node", cells)
    if isinstance(value, types.GeneratorType):
        return [plain(item) for item in islice(value, limit)]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {repr(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return ("set", sorted(repr(plain(item)) for item in value))
    return value


def equal(one: object, other: object, tolerance: float = 1e-9) -> bool:
    """Equality of `plain` results; numbers may differ by ``tolerance``."""
    if isinstance(one, float) or isinstance(other, float):
        if not (isinstance(one, int | float) and isinstance(other, int | float)):
            return False
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=tolerance)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(
            equal(a, b, tolerance) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k], tolerance) for k in one)
    return type(one) is type(other) and one == other


def outcome(function: Callable[..., object], given: Arguments) -> tuple[str, object]:
    """("returned", result), (name of the exception, None) or ("late", None)."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return "returned", plain(function(*given))
    except OutOfTime:
        return "late", None
    except Exception as error:  # noqa: BLE001 - any exception is a result to compare
        return type(error).__name__, None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def load(program: str, path: str) -> Callable[..., object]:
    """The function ``program`` of a file, in a namespace of its own."""
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    module = types.ModuleType(f"version_of_{program}")
    exec(compile(text, path, "exec"), module.__dict__)
    function: Callable[..., object] = getattr(module, program)
    return function


def agreement(program: str, reference: str, other: str, seed: int, count: int) -> dict[str, int]:
    """How many of ``count`` inputs both files answer alike, and how many were late."""
    one, two = load(program, reference), load(program, other)
    same = late = 0
    for number in range(count):
        expected = outcome(one, arguments(program, seed, number))
        given = arguments(program, seed, number)
        # The programs' own tests allow the square root's error to reach its argument epsilon.
        tolerance = given[1] if program == "sqrt" else 1e-9
        actual = outcome(two, given)
        late += actual[0] == "late"
        if late > 2:
            break
        same += expected[0] == actual[0] and equal(expected[1], actual[1], tolerance)
    return {"same": same, "count": count, "late": late}


def _out_of_time(*_: object) -> None:
    raise OutOfTime


def main(argv: Sequence[str]) -> int:
    """Compare two files on seeded inputs and write the counts as JSON."""
    program, reference, other, seed, count, out = argv
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    signal.signal(signal.SIGALRM, _out_of_time)
    found = agreement(program, reference, other, int(seed), int(count))
    with open(out, "w", encoding="utf-8") as stream:
        json.dump(found, stream)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Dynamic programming, matrices, backtracking."""

from __future__ import annotations

import random

from classics.program import program


def _matrix(r: random.Random, low: int = 0, high: int = 9) -> list[list[int]]:
    width = r.randint(1, 4)
    return [[r.randint(low, high) for _ in range(width)] for _ in range(r.randint(1, 4))]


def _word(r: random.Random, letters: str, most: int) -> str:
    return "".join(r.choice(letters) for _ in range(r.randint(0, most)))


PROGRAMS = (
    program(
        """
def grid_paths(grid):
    paths = [[0] * len(row) for row in grid]
    for i, row in enumerate(grid):
        for j, blocked in enumerate(row):
            if blocked:
                paths[i][j] = 0
            elif i == 0 and j == 0:
                paths[i][j] = 1
            else:
                above = paths[i - 1][j] if i > 0 else 0
                before = paths[i][j - 1] if j > 0 else 0
                paths[i][j] = above + before
    return paths[-1][-1]
""",
        lambda r: (
            [
                [int(r.random() < 0.15) for _ in range(w)]
                for w in [r.randint(1, 4)]
                for _ in range(4)
            ],
        ),
        ("wrong operator", "i == 0 and j == 0", "i == 0 or j == 0"),
        ("off by one", "paths[i][j - 1] if", "paths[i][j] if"),
        ("wrong variable", "if j > 0 else 0", "if i > 0 else 0"),
        ("missing arithmetic", "= above + before", "= above"),
    ),
    program(
        """
def cheapest_path(costs):
    best = list(costs[0])
    for j in range(1, len(best)):
        best[j] += best[j - 1]
    for row in costs[1:]:
        best[0] += row[0]
        for j in range(1, len(row)):
            best[j] = row[j] + min(best[j], best[j - 1])
    return best[-1]
""",
        lambda r: (_matrix(r),),
        ("wrong slice", "in costs[1:]", "in costs"),
        ("wrong call", "row[j] + min(best", "row[j] + max(best"),
        ("missing line", "        best[0] += row[0]\n", ""),
        ("missing arithmetic", "row[j] + min", "min"),
    ),
    program(
        """
def rod_value(prices, length):
    best = [0] * (length + 1)
    for size in range(1, length + 1):
        for cut in range(1, min(size, len(prices)) + 1):
            best[size] = max(best[size], prices[cut - 1] + best[size - cut])
    return best[length]
""",
        lambda r: ([r.randint(1, 12) for _ in range(r.randint(1, 5))], r.randint(0, 7)),
        ("off by one", "prices[cut - 1]", "prices[cut]"),
        ("off by one", "[0] * (length + 1)", "[0] * length"),
        ("wrong variable", "best[size - cut]", "best[cut]"),
        ("missing call", "range(1, min(size, len(prices)) + 1)", "range(1, len(prices) + 1)"),
    ),
    program(
        """
def fewest_coins(coins, amount):
    fewest = [0] + [None] * amount
    for value in range(1, amount + 1):
        for coin in coins:
            if coin <= value and fewest[value - coin] is not None:
                count = fewest[value - coin] + 1
                if fewest[value] is None or count < fewest[value]:
                    fewest[value] = count
    return fewest[amount]
""",
        lambda r: (sorted(r.sample(range(1, 8), r.randint(1, 3))), r.randint(0, 14)),
        ("missing condition", "if coin <= value and fewest", "if fewest"),
        ("missing condition", "fewest[value] is None or count", "count"),
        ("missing arithmetic", "fewest[value - coin] + 1", "fewest[value - coin]"),
        ("wrong constant", "fewest = [0] + [None]", "fewest = [None] + [None]"),
        ("wrong comparison", "coin <= value", "coin < value"),
    ),
    program(
        """
def can_split(text, words):
    known = {}

    def split(start):
        if start == len(text):
            return True
        if start not in known:
            known[start] = any(
                text.startswith(word, start) and split(start + len(word)) for word in words
            )
        return known[start]

    return split(0)
""",
        lambda r: (_word(r, "ab", 7), r.sample(["a", "b", "ab", "ba", "abb", "bb"], 3)),
        ("missing argument", "text.startswith(word, start)", "text.startswith(word)"),
        ("wrong call", "= any(", "= all("),
        ("off by one", "start + len(word)", "start + 1"),
        ("wrong result", "            return True", "            return False"),
    ),
    program(
        """
def queens(size):
    def place(row, columns):
        if row == size:
            return 1
        count = 0
        for column in range(size):
            if all(
                column != other and abs(column - other) != row - i
                for i, other in enumerate(columns)
            ):
                count += place(row + 1, columns + [column])
        return count

    return place(0, [])
""",
        lambda r: (r.randint(1, 6),),
        ("missing call", "abs(column - other)", "(column - other)"),
        ("missing arithmetic", "place(row + 1,", "place(row,"),
        ("wrong operator", "column != other and abs", "column != other or abs"),
        ("wrong result", "            return 1", "            return 0"),
        ("wrong operator", "count += place", "count = place"),
    ),
    program(
        """
def spiral(matrix):
    result = []
    while matrix:
        result += matrix[0]
        matrix = [list(column) for column in zip(*matrix[1:])][::-1]
    return result
""",
        lambda r: (_matrix(r),),
        ("wrong slice", "[::-1]", ""),
        ("wrong index", "result += matrix[0]", "result += matrix[-1]"),
        ("wrong method", "result += matrix[0]", "result.append(matrix[0])"),
    ),
    program(
        """
def multiply(a, b):
    product = []
    for row in a:
        line = []
        for j in range(len(b[0])):
            line.append(sum(row[k] * b[k][j] for k in range(len(b))))
        product.append(line)
    return product
""",
        lambda r: (
            [[r.randint(0, 5) for _ in range(2)] for _ in range(r.randint(1, 3))],
            [[r.randint(0, 5) for _ in range(r.choice([3]))] for _ in range(2)],
        ),
        ("swapped names", "b[k][j]", "b[j][k]"),
        ("wrong variable", "len(b[0])", "len(a[0])"),
        ("wrong operator", "row[k] * b[k][j]", "row[k] + b[k][j]"),
        ("missing index", "len(b[0])", "len(b)"),
    ),
    program(
        """
def gray_codes(bits):
    if bits == 0:
        return [""]
    shorter = gray_codes(bits - 1)
    return ["0" + code for code in shorter] + ["1" + code for code in reversed(shorter)]
""",
        lambda r: (r.randint(0, 4),),
        ("missing call", "in reversed(shorter)", "in shorter"),
        ("wrong constant", 'return [""]', "return []"),
        ("prepended value", '"1" + code', "code"),
    ),
    program(
        """
def longest_increasing(items):
    best = []
    for i, item in enumerate(items):
        longest = 0
        for j in range(i):
            if items[j] < item:
                longest = max(longest, best[j])
        best.append(longest + 1)
    return max(best, default=0)
""",
        lambda r: ([r.randint(0, 9) for _ in range(r.randint(0, 8))],),
        ("missing argument", "max(best, default=0)", "max(best)"),
        ("missing arithmetic", "longest + 1", "longest"),
        ("wrong variable", "items[j] < item", "items[i] < item"),
        ("wrong result", "return max(best, default=0)", "return best[-1]"),
    ),
    program(
        """
def move_zeros(rows):
    result = []
    for row in rows:
        kept = [value for value in row if value != 0]
        result.append(kept + [0] * (len(row) - len(kept)))
    return result
""",
        lambda r: (_matrix(r, 0, 2),),
        ("wrong operator", "value != 0", "value == 0"),
        ("wrong operator", "[0] * (len", "[0] + (len"),
        (
            "swapped operands",
            "kept + [0] * (len(row) - len(kept))",
            "[0] * (len(row) - len(kept)) + kept",
        ),
        ("missing index", "len(row) - len(kept)", "len(rows) - len(kept)"),
    ),
)

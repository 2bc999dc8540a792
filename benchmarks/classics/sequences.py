"""Lists: sorting, merging, windows, choices."""

from __future__ import annotations

import random

from classics.program import program


def _ints(r: random.Random, low: int = -5, high: int = 15, most: int = 7) -> list[int]:
    return [r.randint(low, high) for _ in range(r.randint(0, most))]


def _spans(r: random.Random) -> list[tuple[int, int]]:
    starts = [r.randint(0, 15) for _ in range(r.randint(0, 5))]
    return [(start, start + r.randint(0, 5)) for start in starts]


PROGRAMS = (
    program(
        """
def insertion_sort(items):
    items = list(items)
    for i in range(1, len(items)):
        j = i
        while j > 0 and items[j - 1] > items[j]:
            items[j - 1], items[j] = items[j], items[j - 1]
            j -= 1
    return items
""",
        lambda r: (_ints(r),),
        ("missing condition", "j > 0 and items[j - 1]", "items[j - 1]"),
        ("wrong comparison", "j > 0 and", "j > 1 and"),
        ("swapped names", "= items[j], items[j - 1]", "= items[j - 1], items[j]"),
        ("wrong operator", "j -= 1", "j += 1"),
    ),
    program(
        """
def heap_sort(items):
    items = list(items)

    def sift(root, end):
        while 2 * root + 1 < end:
            child = 2 * root + 1
            if child + 1 < end and items[child] < items[child + 1]:
                child += 1
            if items[root] >= items[child]:
                return
            items[root], items[child] = items[child], items[root]
            root = child

    for start in range(len(items) // 2 - 1, -1, -1):
        sift(start, len(items))
    for end in range(len(items) - 1, 0, -1):
        items[0], items[end] = items[end], items[0]
        sift(0, end)
    return items
""",
        lambda r: (_ints(r, most=9),),
        ("off by one", "len(items) // 2 - 1, -1, -1", "len(items) // 2 - 1, 0, -1"),
        ("missing line", "\n            root = child", ""),
        ("wrong variable", "sift(0, end)", "sift(0, len(items))"),
        ("wrong comparison", "items[child] < items[child + 1]", "items[child] > items[child + 1]"),
    ),
    program(
        """
def inversions(items):
    if len(items) < 2:
        return 0, list(items)
    middle = len(items) // 2
    a, left = inversions(items[:middle])
    b, right = inversions(items[middle:])
    count = a + b
    merged = []
    while left and right:
        if left[0] <= right[0]:
            merged.append(left.pop(0))
        else:
            count += len(left)
            merged.append(right.pop(0))
    return count, merged + left + right
""",
        lambda r: (_ints(r),),
        ("wrong comparison", "left[0] <= right[0]", "left[0] < right[0]"),
        ("wrong variable", "count += len(left)", "count += len(right)"),
        ("missing arithmetic", "merged + left + right", "merged + left"),
        ("off by one", "len(items) < 2", "len(items) < 1"),
        ("wrong operator", "while left and right", "while left or right"),
    ),
    program(
        """
def merge_spans(spans):
    merged = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
""",
        lambda r: (_spans(r),),
        ("missing call", "in sorted(spans)", "in spans"),
        ("missing call", "max(end, merged[-1][1])", "end"),
        ("wrong comparison", "start <= merged", "start < merged"),
        ("missing condition", "if merged and start", "if start"),
    ),
    program(
        """
def flag_sort(items, pivot):
    items = items[:]
    low, here, high = 0, 0, len(items)
    while here < high:
        if items[here] < pivot:
            items[low], items[here] = items[here], items[low]
            low += 1
            here += 1
        elif items[here] > pivot:
            high -= 1
            items[high], items[here] = items[here], items[high]
        else:
            here += 1
    return items
""",
        lambda r: (_ints(r, 0, 6), r.randint(0, 6)),
        ("off by one", "0, 0, len(items)", "0, 0, len(items) - 1"),
        ("missing line", "            low += 1\n", ""),
        ("wrong variable", "while here < high", "while low < high"),
    ),
    program(
        """
def windows(items, size):
    for start in range(len(items) - size + 1):
        yield items[start:start + size]
""",
        lambda r: (_ints(r), r.randint(1, 4)),
        ("off by one", "len(items) - size + 1", "len(items) - size"),
        ("wrong slice", "items[start:start + size]", "items[start:size]"),
    ),
    program(
        """
def choose(items, count):
    if count == 0:
        yield []
    elif items:
        first, rest = items[0], items[1:]
        for part in choose(rest, count - 1):
            yield [first] + part
        yield from choose(rest, count)
""",
        lambda r: (_ints(r, most=5), r.randint(0, 4)),
        ("generator", "yield from choose(rest, count)", "yield choose(rest, count)"),
        ("prepended value", "yield [first] + part", "yield part"),
        ("wrong constant", "yield []", "return"),
        ("off by one", "choose(rest, count - 1)", "choose(rest, count)"),
    ),
    program(
        """
def next_greater(items):
    result = [None] * len(items)
    stack = []
    for i, item in enumerate(items):
        while stack and items[stack[-1]] < item:
            result[stack.pop()] = item
        stack.append(i)
    return result
""",
        lambda r: (_ints(r),),
        ("wrong statement kind", "while stack and", "if stack and"),
        ("wrong variable", "stack.append(i)", "stack.append(item)"),
        ("missing arithmetic", "[None] * len(items)", "[None]"),
        ("wrong index", "stack[-1]", "stack[0]"),
    ),
    program(
        """
def longest_run(items):
    numbers = set(items)
    best = 0
    for number in numbers:
        if number - 1 not in numbers:
            length = 1
            while number + length in numbers:
                length += 1
            best = max(best, length)
    return best
""",
        lambda r: (_ints(r, 0, 9, 8),),
        ("missing arithmetic", "number - 1 not in", "number not in"),
        ("wrong constant", "length = 1\n", "length = 2\n"),
        ("wrong call", "best = max(best, length)", "best = min(best, length)"),
    ),
    program(
        """
def best_profit(prices):
    best = 0
    lowest = None
    for price in prices:
        if lowest is None or price < lowest:
            lowest = price
        best = max(best, price - lowest)
    return best
""",
        lambda r: (_ints(r, 0, 20),),
        ("swapped operands", "price - lowest", "lowest - price"),
        ("wrong comparison", "price < lowest", "price > lowest"),
        ("wrong target", "            lowest = price", "            best = price"),
    ),
    program(
        """
def trapped(heights):
    left, right = 0, len(heights) - 1
    high_left = high_right = water = 0
    while left <= right:
        if high_left <= high_right:
            high_left = max(high_left, heights[left])
            water += high_left - heights[left]
            left += 1
        else:
            high_right = max(high_right, heights[right])
            water += high_right - heights[right]
            right -= 1
    return water
""",
        lambda r: (_ints(r, 0, 6, 8),),
        ("off by one", "len(heights) - 1", "len(heights)"),
        (
            "wrong variable",
            "water += high_right - heights[right]",
            "water += high_right - heights[left]",
        ),
        ("wrong operator", "right -= 1", "right += 1"),
        ("wrong comparison", "while left <= right", "while left < right"),
    ),
    program(
        """
def subsets_with_sum(items, total):
    if not items:
        return 1 if total == 0 else 0
    first, rest = items[0], items[1:]
    return subsets_with_sum(rest, total) + subsets_with_sum(rest, total - first)
""",
        lambda r: (_ints(r, 0, 6, 6), r.randint(0, 12)),
        ("missing arithmetic", "total - first", "total"),
        ("wrong condition", "if total == 0 else 0", "if items else 0"),
        ("missing call", " + subsets_with_sum(rest, total - first)", ""),
    ),
)

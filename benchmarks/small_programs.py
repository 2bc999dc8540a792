"""Small programs as a newcomer writes them, with the calls that their tests make: a tuning list.

Ours, written for tuning the ranking; no published list. Each program is one function; `CALLS` are
the arguments of its tests, and `inputs` draws others to tell right patches from those that only
pass. Knows nothing of faults or repairs.
"""

from __future__ import annotations

import random
from typing import Any

SOURCES: dict[str, str] = {
    "median": """
def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
""",
    "discount": """
def discount(total, member):
    if total >= 100:
        rate = 20
    elif total >= 50:
        rate = 10
    else:
        rate = 0
    if member:
        rate += 5
    return total - total * rate // 100
""",
    "slug": """
def slug(title, limit):
    words = []
    for word in title.lower().split():
        kept = "".join(c for c in word if c.isalnum())
        if kept:
            words.append(kept)
    return "-".join(words)[:limit].strip("-")
""",
    "leap": """
def leap(year):
    if year % 400 == 0:
        return True
    return year % 4 == 0 and year % 100 != 0
""",
    "clamp": """
def clamp(value, low, high):
    if low > high:
        low, high = high, low
    if value < low:
        return low
    if value > high:
        return high
    return value
""",
    "chunks": """
def chunks(items, size):
    found = []
    for start in range(0, len(items), size):
        found.append(items[start:start + size])
    return found
""",
    "running_total": """
def running_total(amounts, start):
    totals = []
    total = start
    for amount in amounts:
        total += amount
        totals.append(total)
    return totals
""",
    "initials": """
def initials(name):
    letters = ""
    for part in name.split():
        letters += part[0].upper() + "."
    return letters
""",
    "count_vowels": """
def count_vowels(text):
    count = 0
    for letter in text.lower():
        if letter in "aeiou":
            count += 1
    return count
""",
    "second_largest": """
def second_largest(values):
    first = second = None
    for value in values:
        if first is None or value > first:
            first, second = value, first
        elif value != first and (second is None or value > second):
            second = value
    return second
""",
    "merge": """
def merge(left, right):
    merged = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]
""",
    "duration": """
def duration(seconds):
    hours = seconds // 3600
    minutes = seconds % 3600 // 60
    rest = seconds % 60
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}"
""",
    "group": """
def group(words):
    groups = {}
    for word in words:
        key = word[:1].lower()
        if key not in groups:
            groups[key] = []
        groups[key].append(word)
    return groups
""",
    "price": """
def price(quantity, unit, shipping):
    subtotal = quantity * unit
    if subtotal > 200:
        shipping = 0
    return subtotal + shipping
""",
    "bisect": """
def bisect(values, target):
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low
""",
    "grade": """
def grade(points, most):
    share = points * 100 // most
    if share >= 90:
        return "A"
    if share >= 75:
        return "B"
    if share >= 50:
        return "C"
    return "F"
""",
    "compress": """
def compress(text):
    parts = []
    count = 0
    for i, letter in enumerate(text):
        count += 1
        if i + 1 == len(text) or text[i + 1] != letter:
            parts.append(letter + (str(count) if count > 1 else ""))
            count = 0
    return "".join(parts)
""",
    "primes": """
def primes(limit):
    found = []
    for number in range(2, limit + 1):
        if all(number % prime for prime in found if prime * prime <= number):
            found.append(number)
    return found
""",
    "rotate": """
def rotate(items, steps):
    if not items:
        return []
    steps %= len(items)
    return items[-steps:] + items[:-steps]
""",
    "average_above": """
def average_above(values, threshold):
    kept = [value for value in values if value > threshold]
    if not kept:
        return 0
    return sum(kept) / len(kept)
""",
}
CALLS: dict[str, list[tuple[Any, ...]]] = {
    "median": [([3, 1, 2],), ([4, 1, 3, 2],), ([7],), ([5, 9],), ([8, 2, 6, 4, 10],)],
    "discount": [(120, False), (60, True), (20, False), (50, False), (100, True)],
    "slug": [("Hello World", 40), ("A b, c!", 40), ("Tea & cake", 6), ("", 5), ("One-Two", 9)],
    "leap": [(2000,), (1900,), (2024,), (2023,), (2100,)],
    "clamp": [(5, 0, 10), (-3, 0, 10), (12, 0, 10), (4, 9, 1), (10, 0, 10)],
    "chunks": [([1, 2, 3, 4, 5], 2), ([1, 2], 5), ([], 3), ([1, 2, 3], 1), ([1, 2, 3, 4], 2)],
    "running_total": [([1, 2, 3], 0), ([5], 10), ([], 4), ([2, -2, 7], 1), ([0, 0], 3)],
    "initials": [("Ada Lovelace",), ("grace brewster hopper",), ("plato",), ("",), ("a b",)],
    "count_vowels": [("banana",), ("Apple",), ("rhythm",), ("",), ("Queue",)],
    "second_largest": [([3, 1, 2],), ([5, 5, 4],), ([1],), ([1, 9, 7, 9],), ([2, 3],)],
    "merge": [([1, 4], [2, 3]), ([], [1]), ([5], []), ([1, 2], [2, 6]), ([7, 8], [1, 2])],
    "duration": [(75,), (3600,), (3725,), (59,), (0,)],
    "group": [(["ant", "bee", "Ape"],), ([],), (["x"],), (["bo", "al", "Bo"],), (["a", "a"],)],
    "price": [(2, 10, 5), (30, 10, 7), (20, 10, 4), (0, 3, 2), (1, 201, 9)],
    "bisect": [([1, 3, 5], 3), ([1, 3, 5], 4), ([], 2), ([2, 2, 2], 2), ([1, 2], 9)],
    "grade": [(95, 100), (40, 50), (10, 50), (25, 50), (36, 40)],
    "compress": [("aaabb",), ("abc",), ("",), ("zz",), ("abbbba",)],
    "primes": [(10,), (2,), (1,), (13,), (25,)],
    "rotate": [([1, 2, 3], 1), ([1, 2, 3], 4), ([], 2), ([1, 2, 3, 4], 2), ([5, 6], -1)],
    "average_above": [([1, 5, 9], 4), ([1, 2], 5), ([], 0), ([4, 4, 8], 4), ([10, 20], 1)],
}


def inputs(name: str, count: int, seed: int) -> list[tuple[Any, ...]]:
    """Seeded calls of a program beside those of its tests."""
    rng = random.Random(f"{name}:{seed}")

    def numbers() -> list[int]:
        return [rng.randrange(-3, 12) for _ in range(rng.randrange(7))]

    def words() -> list[str]:
        pieces = ["ant", "Bee", "a", "queue", "o'neil", "x,", "Zoo", "eee", "b2", "&"]
        return [rng.choice(pieces) for _ in range(rng.randrange(5))]

    draw: dict[str, Any] = {
        "median": lambda: ([*numbers(), rng.randrange(9)],),
        "discount": lambda: (
            rng.choice([0, 49, 50, 51, 99, 100, 101, 7, 75, 160]),
            rng.random() < 0.5,
        ),
        "slug": lambda: (" ".join(words()), rng.randrange(20)),
        "leap": lambda: (rng.choice([4, 100, 400, 1, 2]) * rng.randrange(1, 30),),
        "clamp": lambda: (rng.randrange(-9, 20), rng.randrange(-5, 9), rng.randrange(-5, 9)),
        "chunks": lambda: (numbers(), rng.randrange(1, 5)),
        "running_total": lambda: (numbers(), rng.randrange(-4, 5)),
        "initials": lambda: (" ".join(words()),),
        "count_vowels": lambda: (" ".join(words()),),
        "second_largest": lambda: (numbers(),),
        "merge": lambda: (sorted(numbers()), sorted(numbers())),
        "duration": lambda: (rng.choice([1, 59, 60, 61, 3599, 3600, 7325]) * rng.randrange(1, 5),),
        "group": lambda: (words(),),
        "price": lambda: (rng.randrange(30), rng.choice([1, 10, 25, 100]), rng.randrange(9)),
        "bisect": lambda: (sorted(numbers()), rng.randrange(-4, 13)),
        "grade": lambda: (rng.randrange(0, 60), rng.choice([40, 50, 59, 60, 80])),
        "compress": lambda: ("".join(rng.choice("aab") for _ in range(rng.randrange(9))),),
        "primes": lambda: (rng.randrange(60),),
        "rotate": lambda: (numbers(), rng.randrange(-9, 10)),
        "average_above": lambda: (numbers(), rng.randrange(-3, 9)),
    }
    return [draw[name]() for _ in range(count)]

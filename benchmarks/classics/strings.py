"""Text: codes, patterns, parsing."""

from __future__ import annotations

import random

from classics.program import program


def _word(r: random.Random, letters: str = "abc", most: int = 7) -> str:
    return "".join(r.choice(letters) for _ in range(r.randint(0, most)))


PROGRAMS = (
    program(
        """
def longest_palindrome(text):
    best = ""
    for centre in range(len(text)):
        for width in (0, 1):
            left, right = centre, centre + width
            while left >= 0 and right < len(text) and text[left] == text[right]:
                left -= 1
                right += 1
            if right - left - 1 > len(best):
                best = text[left + 1:right]
    return best
""",
        lambda r: (_word(r, "ab"),),
        ("missing condition", "left >= 0 and right < len(text)", "right < len(text)"),
        ("wrong slice", "text[left + 1:right]", "text[left:right]"),
        ("wrong comparison", "while left >= 0", "while left > 0"),
        ("off by one", "right - left - 1 > len", "right - left > len"),
    ),
    program(
        """
def decode_runs(text):
    result = ""
    count = ""
    for letter in text:
        if letter.isdigit():
            count += letter
        else:
            result += letter * int(count or 1)
            count = ""
    return result
""",
        lambda r: (
            "".join(r.choice(["a", "b", "2", "3", "12c"]) for _ in range(r.randint(0, 5))) + "z",
        ),
        ("missing default", "int(count or 1)", "int(count)"),
        ("missing line", '\n            count = ""\n', "\n"),
        ("wrong operator", "count += letter", "count = letter"),
        ("wrong method", "letter.isdigit()", "letter.isalpha()"),
    ),
    program(
        """
def failure_table(pattern):
    table = [0] * len(pattern)
    length = 0
    for i in range(1, len(pattern)):
        while length and pattern[i] != pattern[length]:
            length = table[length - 1]
        if pattern[i] == pattern[length]:
            length += 1
        table[i] = length
    return table
""",
        lambda r: (_word(r, "ab", 9),),
        ("off by one", "table[length - 1]", "table[length]"),
        ("missing condition", "while length and pattern", "while pattern"),
        ("wrong constant", "range(1, len(pattern))", "range(len(pattern))"),
        ("wrong target", "table[i] = length", "table[length] = length"),
    ),
    program(
        """
def caesar(text, shift):
    result = []
    for letter in text:
        if letter.isalpha():
            base = ord("A") if letter.isupper() else ord("a")
            result.append(chr((ord(letter) - base + shift) % 26 + base))
        else:
            result.append(letter)
    return "".join(result)
""",
        lambda r: (_word(r, "abyzAZ -", 8), r.randint(-3, 30)),
        ("missing arithmetic", "- base + shift) % 26 + base", "- base + shift) % 26"),
        ("wrong operator", "- base + shift", "- base - shift"),
        ("wrong constant", 'else ord("a")', 'else ord("A")'),
        ("missing line", "        else:\n            result.append(letter)\n", ""),
    ),
    program(
        """
def look_and_say(text):
    result = ""
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or text[i] != text[start]:
            result += str(i - start) + text[start]
            start = i
    return result
""",
        lambda r: ("1" + _word(r, "12", 6),),
        ("off by one", "len(text) + 1)", "len(text))"),
        ("missing call", "str(i - start)", "(i - start)"),
        ("wrong operator", "== len(text) or text", "== len(text) and text"),
        ("wrong variable", "start = i\n", "start = 1\n"),
    ),
    program(
        """
def luhn(digits):
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2 == 1:
            value *= 2
            if value > 9:
                value -= 9
        total += value
    return total % 10 == 0
""",
        lambda r: (_word(r, "0123456789", 4),),
        ("missing call", "enumerate(reversed(digits))", "enumerate(digits)"),
        ("wrong constant", "place % 2 == 1", "place % 2 == 0"),
        ("wrong variable", "total += value", "total += int(digit)"),
        ("wrong comparison", "value > 9", "value > 10"),
    ),
    program(
        """
def simplify_path(path):
    parts = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)
""",
        lambda r: (
            "/" + "/".join(r.choice(["a", "b", "..", ".", ""]) for _ in range(r.randint(0, 6))),
        ),
        (
            "missing condition",
            "            if parts:\n                parts.pop()",
            "            parts.pop()",
        ),
        ("missing condition", "elif part and part", "elif part"),
        ("wrong operator", 'part != "."', 'part == "."'),
        ("missing arithmetic", '"/" + "/".join(parts)', '"/".join(parts)'),
    ),
    program(
        """
def anagrams(words):
    groups = {}
    for word in words:
        key = "".join(sorted(word))
        groups.setdefault(key, []).append(word)
    return [group for group in groups.values() if len(group) > 1]
""",
        lambda r: ([_word(r, "abc", 3) for _ in range(r.randint(0, 7))],),
        ("missing call", '"".join(sorted(word))', '"".join(word)'),
        ("wrong method", "groups.values()", "groups.keys()"),
        ("off by one", "len(group) > 1", "len(group) > 0"),
    ),
    program(
        """
def evaluate(tokens):
    def expression(place):
        total, place = term(place)
        while place < len(tokens) and tokens[place] in "+-":
            sign = tokens[place]
            value, place = term(place + 1)
            total = total + value if sign == "+" else total - value
        return total, place

    def term(place):
        if tokens[place] == "(":
            value, place = expression(place + 1)
            return value, place + 1
        return int(tokens[place]), place + 1

    return expression(0)[0]
""",
        lambda r: (_sum(r, 2),),
        ("off by one", "value, place = term(place + 1)", "value, place = term(place)"),
        ("off by one", "return value, place + 1", "return value, place"),
        ("missing call", "return int(tokens[place])", "return tokens[place]"),
        ("swapped operands", "else total - value", "else value - total"),
        ("wrong constant", "return expression(0)[0]", "return expression(0)"),
    ),
    program(
        """
def parse_pairs(text):
    pairs = {}
    for piece in text.split(";"):
        piece = piece.strip()
        if not piece:
            continue
        name, _, value = piece.partition("=")
        pairs[name.strip()] = value.strip()
    return pairs
""",
        lambda r: (
            ";".join(
                r.choice(["a=1", " b = 2", "", "c", "d=x=y "]) for _ in range(r.randint(0, 4))
            ),
        ),
        ("wrong method", 'piece.partition("=")', 'piece.rpartition("=")'),
        ("missing condition", "        if not piece:\n            continue\n", ""),
        ("missing call", "= value.strip()", "= value"),
        ("wrong statement kind", "continue", "break"),
    ),
)


def _sum(r: random.Random, depth: int) -> list[str]:
    tokens: list[str] = []
    for place in range(r.randint(1, 3)):
        if place:
            tokens.append(r.choice("+-"))
        inner = depth and r.random() < 0.4
        tokens += ["(", *_sum(r, depth - 1), ")"] if inner else [str(r.randint(0, 9))]
    return tokens

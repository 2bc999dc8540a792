"""Whole numbers: digits, divisors, powers, roots, sequences."""

from __future__ import annotations

from classics.program import program

PROGRAMS = (
    program(
        """
def mod_power(base, exponent, modulus):
    result = 1 % modulus
    base %= modulus
    while exponent > 0:
        if exponent & 1:
            result = result * base % modulus
        base = base * base % modulus
        exponent >>= 1
    return result
""",
        lambda r: (r.randint(0, 20), r.randint(0, 12), r.randint(1, 30)),
        ("wrong operator", "exponent & 1", "exponent | 1"),
        ("wrong variable", "result = result * base", "result = base * base"),
        ("missing arithmetic", "result * base % modulus", "result * base"),
    ),
    program(
        """
def bezout(a, b):
    if b == 0:
        return (a, 1, 0)
    divisor, x, y = bezout(b, a % b)
    return (divisor, y, x - a // b * y)
""",
        lambda r: (r.randint(0, 40), r.randint(0, 40)),
        ("swapped arguments", "bezout(b, a % b)", "bezout(a % b, b)"),
        ("wrong variable", "x - a // b * y", "x - a // b * x"),
        ("wrong operator", "x - a // b * y", "x - a / b * y"),
    ),
    program(
        """
def totient(n):
    result = n
    factor = 2
    while factor * factor <= n:
        if n % factor == 0:
            while n % factor == 0:
                n //= factor
            result -= result // factor
        factor += 1
    if n > 1:
        result -= result // n
    return result
""",
        lambda r: (r.randint(1, 80),),
        ("wrong comparison", "factor * factor <= n", "factor * factor < n"),
        ("wrong variable", "result -= result // n", "result -= result // factor"),
        ("missing lines", "    if n > 1:\n        result -= result // n\n", ""),
        ("wrong operator", "n //= factor", "n -= factor"),
    ),
    program(
        """
def collatz(n):
    path = [n]
    while n != 1:
        if n % 2 == 0:
            n = n // 2
        else:
            n = 3 * n + 1
        path.append(n)
    return path
""",
        lambda r: (r.randint(1, 20),),
        ("wrong constant", "path = [n]", "path = []"),
        ("missing arithmetic", "3 * n + 1", "3 * n"),
        ("statement too deep", "\n        path.append(n)", "\n            path.append(n)"),
    ),
    program(
        """
def digit_sum_root(n):
    while n >= 10:
        total = 0
        while n:
            total += n % 10
            n //= 10
        n = total
    return n
""",
        lambda r: (r.randint(0, 99999),),
        ("wrong comparison", "n >= 10", "n > 10"),
        ("wrong variable", "total += n % 10", "total = n % 10"),
        ("swapped operands", "n % 10", "10 % n"),
    ),
    program(
        """
def newton_root(n):
    if n < 2:
        return n
    guess = n
    while True:
        better = (guess + n // guess) // 2
        if better >= guess:
            return guess
        guess = better
""",
        lambda r: (r.randint(0, 400),),
        ("wrong operator", "(guess + n // guess) // 2", "(guess - n // guess) // 2"),
        ("precedence", "(guess + n // guess) // 2", "guess + n // guess // 2"),
        ("wrong variable", "return guess\n", "return better\n"),
        ("missing line", "\n        guess = better", "\n        better = guess"),
    ),
    program(
        """
def roman(n):
    table = [(100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"),
             (4, "IV"), (1, "I")]
    letters = ""
    for value, symbol in table:
        while n >= value:
            letters += symbol
            n -= value
    return letters
""",
        lambda r: (r.randint(0, 300),),
        ("wrong statement kind", "while n >= value", "if n >= value"),
        ("wrong comparison", "n >= value", "n > value"),
        ("swapped names", "for value, symbol in", "for symbol, value in"),
    ),
    program(
        """
def fibonacci_below(limit):
    a, b = 0, 1
    while a < limit:
        yield a
        a, b = b, a + b
""",
        lambda r: (r.randint(0, 60),),
        ("wrong variable", "a, b = b, a + b", "a, b = a, a + b"),
        ("wrong constant", "a, b = 0, 1", "a, b = 1, 1"),
        ("wrong operator", "b, a + b", "b, a * b"),
    ),
    program(
        """
def partitions(n, largest=None):
    if largest is None:
        largest = n
    if n == 0:
        return [[]]
    found = []
    for part in range(min(n, largest), 0, -1):
        for rest in partitions(n - part, part):
            found.append([part] + rest)
    return found
""",
        lambda r: (r.randint(0, 7),),
        ("wrong constant", "return [[]]", "return []"),
        ("missing arithmetic", "[part] + rest", "rest"),
        ("missing argument", "partitions(n - part, part)", "partitions(n - part)"),
        ("missing call", "range(min(n, largest), 0, -1)", "range(n, 0, -1)"),
        ("off by one", "largest), 0, -1)", "largest), 1, -1)"),
    ),
    program(
        """
def horner(coefficients, x):
    value = 0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value
""",
        lambda r: ([r.randint(-5, 9) for _ in range(r.randint(0, 5))], r.randint(-3, 4)),
        ("wrong operator", "value * x + coefficient", "value + x * coefficient"),
        ("wrong variable", "value * x", "value * value"),
        ("statement too deep", "\n    return value", "\n        return value"),
    ),
    program(
        """
def last_standing(count, step):
    people = list(range(1, count + 1))
    place = 0
    while len(people) > 1:
        place = (place + step - 1) % len(people)
        people.pop(place)
    return people[0]
""",
        lambda r: (r.randint(1, 12), r.randint(1, 6)),
        ("off by one", "(place + step - 1)", "(place + step)"),
        ("off by one", "range(1, count + 1)", "range(1, count)"),
        ("wrong method", "people.pop(place)", "people.remove(place)"),
    ),
    program(
        """
def perfect(limit):
    found = []
    for n in range(2, limit + 1):
        total = 1
        for d in range(2, n):
            if n % d == 0:
                total += d
        if total == n:
            found.append(n)
    return found
""",
        lambda r: (r.choice([1, 5, 6, 27, 28, 29, 40]),),
        ("wrong constant", "total = 1", "total = 0"),
        ("off by one", "limit + 1", "limit"),
        ("wrong variable", "total += d", "total += n"),
    ),
    program(
        """
def zeckendorf(n):
    numbers = [1, 2]
    while numbers[-1] <= n:
        numbers.append(numbers[-1] + numbers[-2])
    parts = []
    for number in reversed(numbers):
        if number <= n:
            parts.append(number)
            n -= number
    return parts
""",
        lambda r: (r.randint(0, 90),),
        ("missing call", "reversed(numbers)", "numbers"),
        ("off by one", "numbers[-2]", "numbers[-1]"),
        ("missing line", "\n            n -= number", ""),
    ),
)

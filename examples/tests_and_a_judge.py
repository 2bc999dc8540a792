"""A hybrid value of a test-suite and a judge: what passes is judged, and each part stays visible.

The judge here is a program that knows two rules of style; an endpoint takes its place by
`meritree.respond.connect`. Where the judge fails, the tests alone speak.
"""

import ast

from meritree.respond import FunctionModel
from meritree.respond.rubric import Criterion, Rubric, grade_explicit
from meritree.value import Estimate, Gate, WeightedSum
from meritree.value.attribution import channel_shares

CASES = [([3, 1, 2], 2), ([1, 2, 3, 4], 2.5), ([5], 5), ([2, 2, 9, 9, 9], 9)]
ANSWERS = {
    "careful": "def median(x):\n    s = sorted(x)\n    n = len(s)\n"
    "    return s[n // 2] if n % 2 else (s[n // 2 - 1] + s[n // 2]) / 2",
    "forgets even": "def median(x):\n    s = sorted(x)\n    return s[len(s) // 2]",
    "sorts in place": "def median(x):\n    x.sort()\n    n = len(x)\n"
    "    return x[n // 2] if n % 2 else (x[n // 2 - 1] + x[n // 2]) / 2",
}  # ours: code of others runs in the sandbox only


def tested(code: str) -> Estimate:
    """The share of cases that pass."""
    space: dict = {}
    exec(code, space)
    passed = sum(space["median"](list(given)) == right for given, right in CASES)
    reason = f"{passed} of {len(CASES)} cases pass"
    return Estimate(passed / len(CASES), n=len(CASES), reasons={"tests": reason})


def opinion(request) -> str:
    """What a language model would be asked for: a score and a reason, one line a criterion."""
    code = request.messages[-1].text
    harm = "x.sort()" in code
    return f"pure: {int(not harm)} - {'changes its argument' if harm else 'leaves x as it is'}"


rubric = Rubric((
    Criterion("pure", "does not change its argument", 1.0),
    Criterion("short", "has at most five statements", 0.3,
              check=lambda code: float(len(ast.parse(code).body[0].body) <= 5)),
))  # fmt: skip
value = Gate(WeightedSum({"tests": 3.0, "judge": 1.0}), "tests half", threshold=1.0, otherwise=0.5)
task, judge, estimates = "Write median(x) of a list of numbers.", FunctionModel(opinion), {}
for name, code in ANSWERS.items():
    tests, said = tested(code), grade_explicit(rubric, task, code, judge).estimate
    half = Estimate(float(tests.mean >= 0.5))
    estimates[name] = value({"tests": tests, "judge": said, "tests half": half})
    print(f"{name:15} {estimates[name].mean:.3f}  {dict(estimates[name].reasons)}")
best = max(estimates, key=lambda name: estimates[name].mean)
base = dict(estimates["forgets even"].channels)
print(best, "is ahead by", dict(channel_shares(value, estimates[best], base).values))

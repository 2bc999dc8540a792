"""How likely each edit template is: weights, and factors drawn from the failure.

A table of numbers with a JSON form, so that learned weights can replace hand-set ones.
Knows template names as plain strings, nothing about how edits are made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib import resources
from statistics import quantiles
from types import MappingProxyType
from typing import Any

from meritree.errors import BadInput

FORMAT = 1
_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FailureSigns:
    """What the failing tests show, as far as templates care.

    Attributes:
        exceptions: exception type names, without modules (``"KeyError"``).
        messages: their messages (same order, or just all of them).
        expected: Python source of expected values that the tests did not get (``"None"``).
    """

    exceptions: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """When the failure looks like this, multiply these templates.

    A rule applies if every condition that it states holds: one of ``exceptions`` was
    raised, ``message`` occurs in a message, one of ``expected`` was expected.
    """

    name: str
    factors: Mapping[str, float]
    exceptions: tuple[str, ...] = ()
    message: str = ""
    expected: tuple[str, ...] = ()

    def applies(self, signs: FailureSigns) -> bool:
        if self.exceptions and not set(self.exceptions) & set(signs.exceptions):
            return False
        if self.message and not any(self.message in message for message in signs.messages):
            return False
        return not self.expected or bool(set(self.expected) & set(signs.expected))


def _same(factor: float, names: str) -> dict[str, float]:
    return dict.fromkeys(names.split(), factor)


HAND_SET_RULES: tuple[Rule, ...] = (
    Rule(
        "a value is None",
        _same(4.0, "guard_ins guard_stmt cond_add or_default except_widen"),
        message="NoneType",
    ),
    Rule(
        "unexpected keyword argument",
        _same(4.0, "drop_arg"),
        exceptions=("TypeError",),
        message="unexpected keyword",
    ),
    Rule(
        "TypeError",
        _same(2.5, "swap_args drop_arg add_arg add_kw wrap_call unwrap_call swap_tuple"),
        exceptions=("TypeError",),
    ),
    Rule(
        "no indexing",
        {"next_iter": 8.0, "drop_index": 2.0, "wrap_call": 2.5},
        exceptions=("TypeError",),
        message="subscriptable",
    ),
    Rule(
        "AttributeError",
        _same(
            2.0,
            "attr drop_attr var unwrap_call call_other index_get guard_stmt cond_add swap_args",
        ),
        exceptions=("AttributeError",),
    ),
    Rule(
        "missing key or index",
        _same(2.0, "off_by_one cmp_op index_get guard_ins guard_stmt cond_add"),
        exceptions=("KeyError", "IndexError"),
    ),
    Rule(
        "unknown name",
        _same(4.0, "var var_other ins_assign var_attr"),
        exceptions=("NameError", "UnboundLocalError"),
    ),
    Rule(
        "an exception that callers could catch",
        _same(3.0, "except_widen try_wrap"),
        exceptions=(
            "ValueError",
            "KeyError",
            "TypeError",
            "IndexError",
            "AttributeError",
            "StopIteration",
            "OverflowError",
            "ZeroDivisionError",
        ),
    ),
    Rule(
        "None came back",
        _same(3.0, "ret_replace ret_ins ret_wrap"),
        message="NoneType",
    ),
    Rule(
        "a name used before it was set",
        _same(3.0, "swap_stmt dedent indent"),
        exceptions=("UnboundLocalError",),
    ),
    Rule(
        "a value of the wrong kind came in",
        _same(2.0, "default_arg negate isinstance_types"),
        exceptions=("TypeError", "AttributeError"),
    ),
    Rule(
        "recursion or a loop without an end",
        _same(
            2.0,
            "cmp_op off_by_one arith_ins slice_ins aug_op bin_op var target ins_aug ins_assign "
            "swap_args loop_ctl dedent indent",
        ),
        exceptions=("RecursionError", "TimeLimit", "timeout"),
    ),
    Rule(
        "a truth value or None was expected",
        _same(2.0, "guard_ins ret_replace negate cond_add"),
        expected=("True", "False", "None"),
    ),
)


@dataclass(frozen=True, slots=True)
class PriorTable:
    """Template weights w and the rules for factors m.

    Attributes:
        weights: w by template name, > 0; templates that are missing weigh ``default``.
        rules: where several rules name a template, the largest factor wins.
        default: weight of a template that the table does not know.
        source: where the numbers come from, in words.
    """

    weights: Mapping[str, float]
    rules: tuple[Rule, ...] = HAND_SET_RULES
    default: float = 1.0
    source: str = "hand-set"

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if not 0 < weight < float("inf"):
                raise BadInput(
                    f"weight of edit template {name!r} is {weight}; weights must be positive "
                    "numbers, correct it in the prior table"
                )

    def factors(self, signs: FailureSigns) -> dict[str, tuple[float, str]]:
        """m > 1 by template with the name of the rule behind it; all others are 1."""
        found: dict[str, tuple[float, str]] = {}
        for rule in self.rules:
            if rule.applies(signs):
                for template, factor in rule.factors.items():
                    if factor > found.get(template, (1.0, ""))[0]:
                        found[template] = (factor, rule.name)
        return found

    def weigh(self, templates: Iterable[str], signs: FailureSigns) -> dict[str, float]:
        """w x m of each template."""
        factors = self.factors(signs)
        return {
            name: self.weights.get(name, self.default) * factors.get(name, (1.0, ""))[0]
            for name in templates
        }

    def to_json(self) -> str:
        document = {"format": FORMAT, **asdict(self)}
        document["weights"] = dict(sorted(self.weights.items()))
        return json.dumps(document, indent=1)

    @classmethod
    def from_json(cls, text: str) -> PriorTable:
        """Read what `to_json` wrote.

        Raises:
            BadInput: not such a document, or weights that are not positive numbers.
        """
        try:
            document: dict[str, Any] = json.loads(text)
            if document["format"] != FORMAT:
                raise BadInput(
                    f"prior table has format {document['format']}, this version reads {FORMAT}; "
                    "fit it again or use the matching version"
                )
            rules = tuple(
                Rule(
                    rule["name"],
                    {str(k): float(v) for k, v in rule["factors"].items()},
                    tuple(rule["exceptions"]),
                    rule["message"],
                    tuple(rule["expected"]),
                )
                for rule in document["rules"]
            )
            weights = {str(k): float(v) for k, v in document["weights"].items()}
            return cls(weights, rules, float(document["default"]), str(document["source"]))
        except (
            KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError
        ) as error:  # fmt: skip
            raise BadInput(
                f"not a prior table: {error!r}; write one with PriorTable.to_json"
            ) from error


def shipped(hand_set: Mapping[str, float]) -> PriorTable:
    """The table that comes with meritree; its ``source`` says what it was fitted to.

    Templates that were added after the fit get their ``hand_set`` weight times the lower
    quartile of what the fit did to the others: that is what it did to templates that have many
    edits on a line, and without the scaling later ones would come before all of these.
    """
    table = _fitted()
    moved = [table.weights[name] / hand_set[name] for name in table.weights.keys() & hand_set]
    scale = quantiles(moved, n=4)[0] if len(moved) > 1 else 1.0
    return replace(table, weights={**{n: w * scale for n, w in hand_set.items()}, **table.weights})


@lru_cache(maxsize=1)
def _fitted() -> PriorTable:
    text = resources.files(__package__).joinpath("priors.json").read_text(encoding="utf-8")
    return PriorTable.from_json(text)


@dataclass(frozen=True, slots=True)
class KnownFix:
    """One fix from a history.

    Attributes:
        template: the template that makes it.
        present: templates that had an edit on the same line (the choice it was made
            from); empty when unknown, then every template of the table.
        signs: how the tests failed before the fix.
    """

    template: str
    present: frozenset[str] = frozenset()
    signs: FailureSigns = field(default_factory=FailureSigns)


def fit(
    histories: Sequence[KnownFix],
    base: PriorTable,
    *,
    strength: float = 40.0,
    rounds: int = 200,
) -> PriorTable:
    """Weights that make the known fixes likely, drawn towards ``base``.

    The model is Luce's choice rule, P(template) = w m / sum over templates present, with
    independent Gamma priors whose mode is the base weight and that count like ``strength``
    fixes in all. The maximum is found by minorisation-maximisation (Hunter 2004, "MM
    algorithms for generalized Bradley-Terry models"). If every template is present
    everywhere this is counting with additive smoothing.

    Returns:
        A table with the same sum of weights as ``base``, the same rules and default.
    """
    weights = {**{fix.template: base.default for fix in histories}, **base.weights}
    total = sum(weights.values())
    counts = dict.fromkeys(weights, 0.0)
    for fix in histories:
        counts[fix.template] += 1
    pull = {name: strength * weight / total for name, weight in weights.items()}
    choices = [_choice(fix, weights, base) for fix in histories]
    for _ in range(rounds if histories else 0):
        rates = dict.fromkeys(weights, strength / total)
        for choice in choices:
            share = 1.0 / sum(weights[name] * m for name, m in choice.items())
            for name, m in choice.items():
                rates[name] += m * share
        new = {name: (counts[name] + pull[name]) / rates[name] for name in weights}
        scale = total / sum(new.values())
        new = {name: weight * scale for name, weight in new.items()}
        moved = max(abs(new[name] - weights[name]) for name in weights)
        weights = new
        if moved < 1e-9 * total:
            break
    source = f"{base.source}, fitted to {len(histories)} known fixes (strength {strength:g})"
    return PriorTable(weights, base.rules, base.default, source)


def _choice(fix: KnownFix, weights: Mapping[str, float], base: PriorTable) -> dict[str, float]:
    """m of every template that the fix was chosen from."""
    names = (fix.present & weights.keys()) | {fix.template} if fix.present else weights.keys()
    factors = base.factors(fix.signs)
    return {name: factors.get(name, (1.0, ""))[0] for name in sorted(names)}

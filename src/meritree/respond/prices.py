"""What tokens cost: a small packaged table that a user extends.

An unknown price is None, never zero: what cannot be counted is not guessed.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.respond.data import Usage

_FIELDS = ("prompt", "cached", "completion", "date", "recalled")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens.

    Attributes:
        prompt: tokens read.
        completion: tokens written.
        cached: tokens read from the provider's cache; None takes ``prompt``.
        date: when it was noted.
        recalled: from memory, not from a price list.
        source: where it was stated.
    """

    prompt: float
    completion: float
    cached: float | None = None
    date: str = ""
    recalled: bool = False
    source: str = ""

    @property
    def of_cached(self) -> float:
        """The price of a token from the provider's cache."""
        return self.prompt if self.cached is None else self.cached

    def usd(self, usage: Usage) -> float:
        """What ``usage`` costs."""
        return (
            (usage.prompt - usage.cached) * self.prompt
            + usage.cached * self.of_cached
            + usage.completion * self.completion
        ) / 1e6

    def most(self, prompt: int, completion: int) -> float:
        """The most that so many tokens can cost."""
        dearest = max(self.prompt, self.of_cached)
        return (prompt * dearest + completion * self.completion) / 1e6


@dataclass(frozen=True)
class Prices:
    """Prices by patterns of model names.

    Attributes:
        table: what the user or the package states.
        repository: what the settings of a repository state. It may be a stranger's, so it can
            raise a known price but not lower it: that would loosen the user's budget.
    """

    table: Mapping[str, Price] = field(default_factory=dict)
    repository: Mapping[str, Price] = field(default_factory=dict)

    def find(self, model: str) -> Price | None:
        """The price of ``model``: the longest pattern that fits its name or its last part."""
        ours, theirs = _longest(self.table, model), _longest(self.repository, model)
        if ours is None or theirs is None:
            return ours or theirs
        return Price(
            max(ours.prompt, theirs.prompt),
            max(ours.completion, theirs.completion),
            max(ours.of_cached, theirs.of_cached),
            source=f"{ours.source}, {theirs.source}",
        )

    def extended(self, stated: Mapping[str, Any], source: str) -> Prices:
        """This table with further prices, which replace those of equal patterns.

        Args:
            stated: pattern -> ``{prompt, completion}`` and optionally ``cached``, ``date``.
            source: what an error message should name, such as a file.

        Raises:
            BadInput: a price is no number of 0 or more, or a field is unknown.
        """
        return Prices({**self.table, **_read(stated, source)}, self.repository)

    def extended_by_repository(self, stated: Mapping[str, Any], source: str) -> Prices:
        """As `extended`, from ``[tool.meritree.prices]`` of a repository.

        Raises:
            BadInput: as `extended`.
        """
        return Prices(self.table, {**self.repository, **_read(stated, source)})


def _longest(table: Mapping[str, Price], model: str) -> Price | None:
    names = {model.lower(), model.lower().rpartition("/")[2]}
    fitting = [
        pattern for pattern in table if any(fnmatchcase(name, pattern.lower()) for name in names)
    ]
    return table[max(fitting, key=len)] if fitting else None


def _read(stated: Mapping[str, Any], source: str) -> dict[str, Price]:
    return {str(name): _price(str(name), value, source) for name, value in stated.items()}


@cache
def packaged_prices() -> Prices:
    """The table that comes with the package: recalled list prices, see ``prices.toml``."""
    text = resources.files("meritree.respond").joinpath("prices.toml").read_text("utf-8")
    return Prices().extended(tomllib.loads(text), "the packaged price table")


def read_prices(path: Path, base: Prices | None = None) -> Prices:
    """The packaged table (or ``base``) extended by a TOML file of the same form.

    Raises:
        BadInput: the file cannot be read or is no price table.
    """
    try:
        stated = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise BadInput(f"prices {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"prices {path} are no TOML: {error}") from None
    return (packaged_prices() if base is None else base).extended(stated, str(path))


def _price(name: str, value: Any, source: str) -> Price:
    where = f"{source}: the price of {name!r}"
    if not isinstance(value, Mapping):
        raise BadInput(f"{where} is {value!r}; write {{ prompt = 1.0, completion = 2.0 }}")
    unknown = set(value) - set(_FIELDS)
    if unknown:
        raise BadInput(
            f"{where} has the unknown field {min(unknown)!r}; known are {', '.join(_FIELDS)}"
        )
    for key in ("prompt", "completion"):
        if key not in value:
            raise BadInput(f"{where} lacks {key!r} (usd per million tokens)")
    for key in ("prompt", "completion", "cached"):
        number = value.get(key, 0)
        fits = isinstance(number, int | float) and not isinstance(number, bool)
        if not fits or not 0 <= number < math.inf:
            raise BadInput(f"{where}: {key} = {number!r} must be a number of 0 or more")
    cached = value.get("cached")
    return Price(
        float(value["prompt"]),
        float(value["completion"]),
        None if cached is None else float(cached),
        str(value.get("date", "")),
        bool(value.get("recalled", False)),
        source,
    )

"""The things that are priced. Weights in grams, lengths in centimetres, money in cents."""

from __future__ import annotations

from dataclasses import dataclass

from parcel.errors import ParcelError


@dataclass(frozen=True)
class Parcel:
    grams: int
    sides: tuple[int, int, int]
    value: int = 0

    def __post_init__(self) -> None:
        if self.grams <= 0:
            raise ParcelError(f"a parcel weighs something, not {self.grams} g")
        if min(self.sides) <= 0:
            raise ParcelError(f"sides must be positive: {self.sides}")

    @property
    def length(self) -> int:
        return max(self.sides)

    @property
    def girth(self) -> int:
        """Once around the two shorter sides, plus the longest side."""
        short, middle, long = sorted(self.sides)
        return long + 2 * (short + long)

    @property
    def volume(self) -> int:
        width, height, depth = self.sides
        return width * height * depth


@dataclass(frozen=True)
class Quote:
    zone: str
    billed_grams: int
    lines: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        return sum(cents for _, cents in self.lines)

    def line(self, name: str) -> int:
        return sum(cents for label, cents in self.lines if label == name)

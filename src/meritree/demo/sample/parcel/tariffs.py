"""Price lists: up to which weight a parcel costs how much."""

from __future__ import annotations

from dataclasses import dataclass

from parcel.errors import TooHeavy, UnknownZone


@dataclass(frozen=True)
class Tariff:
    """Brackets of (limit in grams, price in cents), lightest first."""

    brackets: tuple[tuple[int, int], ...]

    @property
    def limit(self) -> int:
        return self.brackets[-1][0]

    def bracket(self, grams: int) -> int:
        """Position of the first bracket that takes this weight."""
        low, high = 0, len(self.brackets)
        while low < high:
            middle = (low + high) // 2
            if self.brackets[middle][0] <= grams:
                low = middle + 1
            else:
                high = middle
        return low

    def price(self, grams: int) -> int:
        position = self.bracket(grams)
        if position == len(self.brackets):
            raise TooHeavy(f"{grams} g is over the limit of {self.limit} g")
        return self.brackets[position][1]


HOME = Tariff(((1000, 450), (2000, 630), (5000, 850), (10000, 990), (20000, 1290), (31500, 1990)))
NEAR = Tariff(((1000, 890), (2000, 1190), (5000, 1590), (10000, 2190), (31500, 3990)))
FAR = Tariff(((1000, 1290), (2000, 1690), (5000, 2390), (10000, 3490)))

TARIFFS = {"home": HOME, "island": HOME, "near": NEAR, "far": FAR}


def tariff_for(zone: str) -> Tariff:
    if zone not in TARIFFS:
        raise UnknownZone(f"no price list for zone {zone!r}")
    return TARIFFS[zone]

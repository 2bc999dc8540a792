"""Putting a quote together, line by line."""

from __future__ import annotations

from collections.abc import Iterable

from parcel.errors import ParcelError
from parcel.model import Parcel, Quote
from parcel.tariffs import tariff_for
from parcel.weights import billed_weight, check_size
from parcel.zones import zone_of

ISLAND_FEE = 1250
COVERED_VALUE = 50_000
INSURANCE_PER_MILLE = 6


def insurance(value: int) -> int:
    """Cover above the carrier's own 500 EUR, rounded up to a full cent."""
    excess = value - COVERED_VALUE
    if excess <= 0:
        return 0
    return -(-excess * INSURANCE_PER_MILLE // 1000)


def quote(parcel: Parcel, postcode: str) -> Quote:
    """What it costs to send the parcel to the postcode."""
    check_size(parcel)
    zone = zone_of(postcode)
    billed = billed_weight(parcel)
    base = tariff_for(zone).price(billed)
    lines = [("parcel", base)]
    if zone == "island":
        lines.append(("island", ISLAND_FEE))
    cover = insurance(parcel.value)
    if cover:
        lines.append(("insurance", cover))
    return Quote(zone, billed, tuple(lines))


def cheapest(packings: Iterable[list[Parcel]], postcode: str) -> list[Quote]:
    """The cheapest way to pack an order; ways the carrier refuses are left out."""
    offers = []
    for packing in packings:
        try:
            offers.append([quote(parcel, postcode) for parcel in packing])
        except ParcelError:
            continue
    if not offers:
        raise ParcelError("the carrier takes none of these packings")
    return min(offers, key=lambda quotes: sum(one.total for one in quotes))

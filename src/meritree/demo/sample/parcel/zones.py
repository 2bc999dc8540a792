"""Where a postcode lies, and what getting there costs on top."""

from __future__ import annotations

from parcel.errors import UnknownZone

ISLANDS = ("18565", "25845", "25859", "25980", "26474", "26757", "27498")
NEIGHBOURS = {"AT": "near", "BE": "near", "CH": "near", "DK": "near", "NL": "near"}
FAR = {"GB", "IE", "NO", "PT", "SE"}


def zone_of(postcode: str) -> str:
    """``"12345"`` is domestic; other countries are written ``"AT-1010"``."""
    country, dash, local = postcode.strip().upper().partition("-")
    if not dash:
        return _domestic(country)
    if country == "DE":
        return _domestic(local)
    if country in NEIGHBOURS:
        return NEIGHBOURS[country]
    if country in FAR:
        return "far"
    raise UnknownZone(f"nobody delivers to {postcode!r}")


def _domestic(postcode: str) -> str:
    if len(postcode) != 5 or not postcode.isdigit():
        raise UnknownZone(f"{postcode!r} is not a postcode")
    return "island" if postcode in ISLANDS else "home"

"""Shipping quotes for a small web shop: what sending a parcel costs, and why."""

from parcel.errors import ParcelError, TooHeavy, TooLarge, UnknownZone
from parcel.model import Parcel, Quote
from parcel.quoting import cheapest, quote

__all__ = [
    "Parcel",
    "ParcelError",
    "Quote",
    "TooHeavy",
    "TooLarge",
    "UnknownZone",
    "cheapest",
    "quote",
]

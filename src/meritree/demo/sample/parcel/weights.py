"""From the scale to the weight on the bill."""

from __future__ import annotations

from parcel.errors import TooLarge
from parcel.model import Parcel

STEP = 500
VOLUME_DIVISOR = 5
MAX_LENGTH = 120
MAX_GIRTH = 300


def full_steps(grams: int, step: int = STEP) -> int:
    """How many weighing steps are begun."""
    return (grams + step - 1) // step


def volumetric(parcel: Parcel) -> int:
    """Bulky parcels are billed as if they weighed 200 kg per cubic metre."""
    return parcel.volume // VOLUME_DIVISOR


def billed_weight(parcel: Parcel) -> int:
    """The heavier of scale and volume, rounded up to a full step."""
    return full_steps(max(parcel.grams, volumetric(parcel))) * STEP


def check_size(parcel: Parcel) -> None:
    if parcel.length > MAX_LENGTH:
        raise TooLarge(f"{parcel.length} cm is longer than {MAX_LENGTH} cm")
    if parcel.girth > MAX_GIRTH:
        raise TooLarge(f"girth of {parcel.girth} cm is over {MAX_GIRTH} cm")

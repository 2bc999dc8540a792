"""What can be wrong with a parcel."""


class ParcelError(ValueError):
    """Base of all refusals."""


class TooHeavy(ParcelError):
    """Heavier than the carrier takes."""


class TooLarge(ParcelError):
    """Longer or bulkier than the carrier takes."""


class UnknownZone(ParcelError):
    """Nobody delivers to that postcode."""

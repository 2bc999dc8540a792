import pytest

from parcel import Parcel, ParcelError, TooHeavy, UnknownZone, cheapest, quote
from parcel.quoting import insurance
from parcel.zones import zone_of

CARTON = (30, 20, 10)


def test_a_common_parcel():
    offer = quote(Parcel(1900, CARTON), "79098")
    assert offer.total == 630
    assert offer.zone == "home"


@pytest.mark.parametrize(
    ("grams", "total"), [(1000, 450), (2000, 630), (5000, 850), (10000, 990), (31500, 1990)]
)
def test_weights_of_the_price_list_cost_what_the_list_says(grams, total):
    assert quote(Parcel(grams, (25, 20, 10)), "79098").total == total


def test_too_heavy_for_abroad():
    with pytest.raises(TooHeavy):
        quote(Parcel(10001, CARTON), "SE-111")


def test_islands_cost_extra():
    offer = quote(Parcel(700, (20, 10, 10)), "27498")
    assert offer.line("island") == 1250
    assert offer.total == 1700


@pytest.mark.parametrize(
    ("postcode", "zone"),
    [("79098", "home"), (" de-25980 ", "island"), ("AT-1010", "near"), ("gb-SW1A", "far")],
)
def test_zones(postcode, zone):
    assert zone_of(postcode) == zone


@pytest.mark.parametrize("postcode", ["7909", "ABCDE", "MO-ON", ""])
def test_nobody_delivers_there(postcode):
    with pytest.raises(UnknownZone):
        zone_of(postcode)


@pytest.mark.parametrize(("value", "cents"), [(0, 0), (50_000, 0), (50_001, 1), (100_000, 300)])
def test_insurance(value, cents):
    assert insurance(value) == cents


def test_insurance_is_a_line_of_the_quote():
    assert quote(Parcel(700, (20, 10, 10), value=60_000), "79098").line("insurance") == 60


def test_two_small_parcels_can_be_cheaper():
    one, two = Parcel(9000, CARTON), Parcel(800, (20, 10, 10))
    huge = Parcel(9000, (200, 200, 10))
    offers = cheapest([[huge], [one], [two, two]], "79098")
    assert [offer.total for offer in offers] == [450, 450]


def test_no_packing_fits():
    with pytest.raises(ParcelError, match="none of these"):
        cheapest([[Parcel(90000, CARTON)]], "79098")


def test_a_parcel_weighs_something():
    with pytest.raises(ParcelError, match="not 0 g"):
        Parcel(0, CARTON)
    with pytest.raises(ParcelError, match="positive"):
        Parcel(1, (0, 1, 1))

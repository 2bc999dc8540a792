import pytest

from parcel import TooHeavy, UnknownZone
from parcel.tariffs import FAR, HOME, NEAR, Tariff, tariff_for


def test_light_parcels_take_the_first_bracket():
    assert HOME.bracket(1) == 0


@pytest.mark.parametrize(("grams", "price"), [(1500, 630), (2001, 850), (9999, 990)])
def test_prices_between_the_limits(grams, price):
    assert HOME.price(grams) == price


def test_a_limit_belongs_to_its_bracket():
    assert [HOME.bracket(limit) for limit, _ in HOME.brackets] == [0, 1, 2, 3, 4, 5]


def test_over_the_last_limit():
    with pytest.raises(TooHeavy, match="31501 g"):
        HOME.price(31501)


def test_a_single_bracket():
    assert Tariff(((1000, 100),)).price(10) == 100


def test_prices_rise_with_weight():
    for tariff in (HOME, NEAR, FAR):
        prices = [tariff.price(grams) for grams in range(1, 9800, 700)]
        assert prices == sorted(prices)


def test_unknown_zone():
    with pytest.raises(UnknownZone, match="moon"):
        tariff_for("moon")

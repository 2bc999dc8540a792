import pytest

from parcel import Parcel, TooLarge
from parcel.weights import billed_weight, check_size, full_steps, volumetric


@pytest.mark.parametrize(("grams", "steps"), [(1, 1), (499, 1), (501, 2), (1999, 4), (2001, 5)])
def test_a_begun_step_counts(grams, steps):
    assert full_steps(grams) == steps


def test_a_full_step_is_not_begun_again():
    assert [full_steps(grams) for grams in (500, 1000, 2000)] == [1, 2, 4]


def test_other_step_widths():
    assert full_steps(1001, step=1000) == 2


def test_volumetric_weight():
    assert volumetric(Parcel(100, (50, 40, 30))) == 12000


def test_bulky_parcels_are_billed_by_volume():
    assert billed_weight(Parcel(800, (31, 21, 11))) == 1500


def test_heavy_parcels_are_billed_by_weight():
    assert billed_weight(Parcel(4300, (20, 20, 10))) == 4500


def test_girth_is_once_around_the_shorter_sides_and_the_longest():
    assert Parcel(1, (10, 30, 20)).girth == 30 + 2 * (10 + 20)
    assert Parcel(1, (50, 50, 100)).girth == 300


def test_size_limits():
    check_size(Parcel(1000, (120, 45, 45)))
    with pytest.raises(TooLarge, match="longer"):
        check_size(Parcel(1000, (121, 10, 10)))
    with pytest.raises(TooLarge, match="girth"):
        check_size(Parcel(1000, (100, 60, 50)))

"""Repair with a judge of your own: a channel that reads what the tests' messages say.

The failing test only says true or false, so a half mended program looks no better than a broken
one. Its message tells how many prices are wrong; a channel that reads it shows the search the way.
"""

import re
import tempfile
from pathlib import Path

from meritree.swe.fix import fix
from meritree.swe.own_channels import Channel, Look
from meritree.swe.result import FixOptions

PRICE = """
def price(grams, zone, express):
    total = 4 + 2 * zone
    if grams >= 500:
        total += grams // 500
    if grams > 2000 and zone != 1:
        total += 3
    if express:
        total += max(5, total // 3)
    return total
"""
TEST = """
from price import price

def right(grams, zone, express):
    total = 4 + 3 * zone + grams // 500 + (3 if grams >= 2000 and zone > 1 else 0)
    return total + max(5, total // 2) if express else total

def test_price_list():
    cases = [(g, z, e) for g in range(0, 4001, 250) for z in (1, 2, 3) for e in (False, True)]
    wrong = [case for case in cases if price(*case) != right(*case)]
    assert not wrong, f"{len(wrong)} of {len(cases)} prices are wrong"
"""


def counted(look: Look) -> tuple[float, str] | None:
    """The share of right prices, from the message of the failing test."""
    (result,) = look.targets.values()
    found = re.search(r"(\d+) of (\d+) prices", result.message)
    if found is None:
        return (1.0, "no price is wrong") if result.ok else None
    return 1 - int(found[1]) / int(found[2]), found[0]


with tempfile.TemporaryDirectory() as place:
    repo = Path(place, "shop")
    repo.mkdir()
    (repo / "price.py").write_text(PRICE)
    (repo / "test_price.py").write_text(TEST)
    for channels in ((), (Channel("prices", 0.5, counted),)):
        out = Path(place, f"run{len(channels)}")
        result = fix(FixOptions(repo, out=out, budget_tests=500), channels=channels)
        names = ", ".join(channel.name for channel in channels) or "none"
        print(f"own channels {names}: {result.status}, {result.evaluations} evaluations")
        for best in result.candidates[:1]:
            print(f"  found after {best.evaluations} evaluations: {'; '.join(best.edits)}")
            print(f"  {dict(best.gains)}")

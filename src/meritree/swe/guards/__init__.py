"""Guards against patches that satisfy their tests without mending anything."""

from meritree.swe.guards.literals import Seen, seen_in_tests
from meritree.swe.guards.special_cases import RULES, Flag, special_cases, worth_a_look

__all__ = ["RULES", "Flag", "Seen", "seen_in_tests", "special_cases", "worth_a_look"]

"""What things are worth: estimates and the ways to combine judges. Imports nothing heavy."""

from meritree.value.estimate import Cost, Estimate
from meritree.value.hybrid import Combiner, Gate, Median, Product, Schedule, WeightedSum

__all__ = [
    "Combiner",
    "Cost",
    "Estimate",
    "Gate",
    "Median",
    "Product",
    "Schedule",
    "WeightedSum",
]

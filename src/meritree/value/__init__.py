"""What things are worth: estimates and the ways to combine judges. Imports nothing heavy."""

from meritree.value.estimate import Cost, Estimate

__all__ = ["Cost", "Estimate"]

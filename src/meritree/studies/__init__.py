"""Studies: executable statements of papers' claims, and the registry of all 119 systems."""

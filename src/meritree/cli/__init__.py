"""Command line: one thin file per verb. Reads options, calls the rooms below, shows results."""

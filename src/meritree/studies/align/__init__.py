"""Studies of the alignment room."""

"""Studies of the room value/: what things are worth."""

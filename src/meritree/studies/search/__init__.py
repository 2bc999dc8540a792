"""Studies of the room search/: looking where judges disagree."""

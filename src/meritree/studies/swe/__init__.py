"""Studies of repairing repositories."""

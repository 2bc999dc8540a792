"""Studies of the reinforcement-learning systems."""

"""Studies of reinforcement learning: what values are learned, and how."""

"""Learning action values from replayed transitions."""

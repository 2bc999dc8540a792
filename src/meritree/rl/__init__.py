"""Reinforcement learning in JAX: environments, networks and trainers made of parts.

Needs the extra ``rl``.
"""

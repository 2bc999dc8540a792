"""Every test of this folder needs JAX, Flax and gymnax (extra ``rl``), and runs on processors."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
for module in ("jax", "flax", "optax", "gymnax"):
    pytest.importorskip(module)

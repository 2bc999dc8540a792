"""Spreading worlds and batches over several devices; the compiler does the rest."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from meritree.errors import BadInput

AXIS = "data"


def spread(mesh: Any, tree: Any) -> Any:
    """The tree with the leading axis of every array spread over the mesh; None: as it is."""
    if mesh is None:
        return tree
    # Axes that the compiler may use as it likes, whatever kind the caller's mesh has.
    rows = NamedSharding(Mesh(mesh.devices, mesh.axis_names), PartitionSpec(AXIS))
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, rows), tree)


def check_mesh(mesh: Any, **lengths: int) -> None:
    """Raises BadInput where the mesh has no axis ``data``, or it does not divide a length."""
    if mesh is None:
        return
    if AXIS not in mesh.shape:
        raise BadInput(f"mesh has axes {tuple(mesh.shape)}: one must be called {AXIS!r}")
    devices = mesh.shape[AXIS]
    for name, length in lengths.items():
        if length % devices:
            raise BadInput(f"{name}={length} cannot be spread evenly over {devices} devices")

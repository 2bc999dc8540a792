"""Checkpoints of runs: whose they are, and how they are written so that none is ever half.

Knows states as trees of arrays only.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from meritree.errors import BadInput
from meritree.rl.keys import quick

State: TypeAlias = Any
Log: TypeAlias = dict[str, Any]


def digest(programs: Iterable[Any]) -> str:
    """A digest of traced programs (closed jaxprs) and their constants, equal in any process."""
    found = hashlib.sha256()
    for program in programs:
        # Addresses of functions stand in the text; they differ from process to process.
        found.update(re.sub(r"0x[0-9a-f]+", "", str(program)).encode())
        for constant in program.consts:
            found.update(np.asarray(_plain(jnp.asarray(constant))).tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """One file with the leaves of a state and the log so far, replaced as a whole.

    Attributes:
        folder: where it lies.
        seed: of the run.
        recipe: of the trainer, see `Trainer.recipe`.
    """

    folder: Path
    seed: int
    recipe: str

    @property
    def path(self) -> Path:
        return self.folder / "checkpoint.npz"

    def write(self, state: State, rows: list[Log]) -> None:
        """Raises BadInput where the file cannot be written; the old one then stays."""
        leaves = [np.asarray(_plain(leaf)) for leaf in jax.tree.leaves(state)]
        names = sorted(rows[0]) if rows else []
        buffer = io.BytesIO()
        np.savez(
            buffer,
            *leaves,
            seed=np.asarray(self.seed),
            recipe=np.asarray(self.recipe),
            log_names=np.asarray(names),
            log=np.asarray([[row[name] for name in names] for row in rows]),
        )
        half = self.path.with_suffix(".half")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(half, "wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            half.replace(self.path)
        except OSError as error:
            raise BadInput(f"{self.path}: cannot write the checkpoint: {error.strerror}") from None

    def read(self, like: State) -> tuple[State, list[Log]] | None:
        """(state, log rows) or None where nothing was kept; ``like`` has the state's shapes."""
        if not self.path.exists():
            return None
        try:
            with np.load(self.path) as file:
                seed, recipe = int(file["seed"]), str(file["recipe"])
                names, log = list(file["log_names"]), file["log"]
                stored = [file[f"arr_{i}"] for i in range(len(file.files) - 4)]
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(
                f"{self.path}: not a checkpoint ({error}); remove it or name another folder"
            ) from None
        if seed != self.seed:
            raise BadInput(
                f"{self.path}: belongs to seed {seed}, this run has seed {self.seed}; name "
                "another folder"
            )
        wanted, tree = jax.tree.flatten(like)
        if recipe != self.recipe or [_shape(leaf) for leaf in wanted] != [
            (x.shape, x.dtype) for x in stored
        ]:
            raise BadInput(
                f"{self.path}: belongs to another trainer: some part or number of it differs, or "
                "the version of JAX; name another folder"
            )
        leaves = [_as(leaf, x) for leaf, x in zip(wanted, stored, strict=True)]
        rows = [dict(zip(names, map(float, row), strict=True)) for row in log]
        return jax.tree.unflatten(tree, leaves), rows


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _shape(leaf: Any) -> tuple[Any, Any]:
    if _is_key(leaf):
        plain = jax.eval_shape(jax.random.key_data, leaf)
        return plain.shape, np.dtype(plain.dtype)
    return leaf.shape, np.dtype(leaf.dtype)


def _as(leaf: Any, x: Any) -> Any:
    if _is_key(leaf):
        # A shape cannot be asked for its kind of key; trainers have these two.
        key = jax.random.wrap_key_data(jnp.asarray(x))
        return quick(key) if leaf.dtype == quick(key).dtype else key
    return jnp.asarray(x)

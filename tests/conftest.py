"""What all tests share: no network, repeatable examples, and the array libraries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from meritree.respond.offline import guard

# Two processes of tests share two cores: threads of a library would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What JAX compiled is kept, however small it is: a second run of the tests compiles nothing anew,
# and most of the time of tests of learners is compilation.
_KEPT = Path(__file__).parent.parent / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_KEPT))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# No test, and nothing that it starts, reaches another machine.
os.environ["MERITREE_OFFLINE"] = "1"
guard()

# The same examples in every run: a failure repeats, and a green run stays green. To look for new
# ones: HYPOTHESIS_PROFILE=explore pytest. No deadline: no test of ours is timed.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(autouse=True, scope="session")
def no_plugins() -> Iterator[None]:
    """Repositories that tests repair load no pytest plugin of this environment: each process of
    theirs starts in 0.4 s instead of 0.9 s. A fixture, since our own pytest needs its plugins.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield


LIBRARIES = ["numpy", "torch", "jax", "array_api_strict"]


@dataclass(frozen=True)
class Backend:
    """One array library, double precision, with its way to make arrays and gradients."""

    name: str

    def array(self, values: Any) -> Any:
        """Floats become float64, integers int64, booleans stay."""
        import numpy as np

        x = np.asarray(values)
        x = x.astype({"f": np.float64, "i": np.int64, "b": np.bool_}[x.dtype.kind])
        if self.name == "torch":
            import torch

            return torch.asarray(x)
        if self.name == "jax":
            import jax.numpy

            return jax.numpy.asarray(x)
        if self.name == "array_api_strict":
            import array_api_strict

            return array_api_strict.asarray(x)
        return x

    def numpy(self, x: Any) -> Any:
        """The array as NumPy."""
        import numpy as np

        return x.detach().numpy() if self.name == "torch" else np.asarray(x)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function under ``jit`` on JAX, as it is elsewhere."""
        if self.name != "jax":
            return function
        import jax

        return jax.jit(function)

    def gradient(self, function: Callable[[Any], Any], at: Any) -> Any:
        """d sum(function(x)) / dx at ``at``, as NumPy."""
        import numpy as np

        if self.name == "torch":
            x = self.array(at).requires_grad_()
            function(x).sum().backward()
            return x.grad.numpy()
        import jax

        return np.asarray(jax.jit(jax.grad(lambda x: function(x).sum()))(self.array(at)))


@pytest.fixture(params=LIBRARIES)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every array library in turn."""
    yield from _double_precision(request.param)


@pytest.fixture(params=["torch", "jax"])
def differentiable(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The libraries with gradients in turn."""
    yield from _double_precision(request.param)


@pytest.fixture
def make_backend() -> Callable[[str], Backend]:
    """A library by name, in the precision it has by default."""
    return Backend


def _double_precision(name: str) -> Iterator[Backend]:
    if name == "jax":
        import jax

        with jax.enable_x64(True):
            yield Backend(name)
    else:
        yield Backend(name)

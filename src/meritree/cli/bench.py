"""`meritree bench NAME ...`: hand the rest of the command line to a benchmark."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from meritree.errors import BadInput

_PLOTS = ("numpy", "matplotlib")
# What each needs beyond the core.
NEEDS = {"repair": _PLOTS, "histories": _PLOTS, "quixbugs": _PLOTS, "swebench": ()}
BENCHES = tuple(NEEDS)


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="|".join(BENCHES), help="Which benchmark.")],
) -> int:
    """Measure the repair policy and the search (most need the extra `bench`).

    `meritree bench NAME --help` shows the options of one benchmark.
    """
    if name in ("-h", "--help"):
        print(context.get_help())
        return 0
    if name not in BENCHES:
        raise BadInput(f"bench {name}: no such benchmark; there are {', '.join(BENCHES)}")
    missing = [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]
    if missing:
        raise BadInput(
            f"bench {name} needs {' and '.join(missing)}; "
            "install the extra: pip install 'meritree[bench]'"
        )
    from meritree.view.bench_view import bench_view

    module = importlib.import_module(f"meritree.bench.{name}")
    with bench_view(name):
        code = module.main(context.args)
    return code if isinstance(code, int) else 0

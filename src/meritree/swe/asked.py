"""Whether what `meritree fix` is asked makes sense; nothing is read or run before that is known.

Knows the options and which names there are; nothing of repositories, journals or results.
"""

from __future__ import annotations

from collections.abc import Sequence

from meritree.errors import BadInput
from meritree.run.engines import make_engine
from meritree.swe.calibration import acceptance
from meritree.swe.own_channels import Channel, with_channels
from meritree.swe.result import FixOptions
from meritree.swe.value import ValueWeights


def check_options(options: FixOptions, channels: Sequence[Channel] = ()) -> None:
    """Refuse values that make no sense, naming option, value and what is allowed.

    Raises:
        BadInput: see above.
    """
    from meritree.search import STRATEGIES

    if options.strategy not in STRATEGIES:
        known = ", ".join(sorted(STRATEGIES))
        raise BadInput(f"--strategy {options.strategy}: unknown; choose one of {known}")
    if options.policy not in ("auto", "repair", "model", "mini"):
        raise BadInput(f"--policy {options.policy}: unknown; choose auto, repair, model or mini")
    _check_channels(options, channels)
    for name, value, least in (
        ("--budget-tests", options.budget_tests, 1),
        ("--workers", options.workers, 1),
        ("--final-checks", options.final_checks, 1),
        ("--seed", options.seed, 0),
    ):
        if value < least:
            raise BadInput(f"{name} {value}: must be at least {least}")
    if options.workers > 64:
        raise BadInput(f"--workers {options.workers}: at most 64 on one machine")
    if not 0 < options.budget_seconds < float("inf"):
        raise BadInput(f"--budget-seconds {options.budget_seconds}: must be a positive number")
    if options.budget_usd is not None and not 0 <= options.budget_usd < float("inf"):
        raise BadInput(f"--budget-usd {options.budget_usd}: must be 0 or more")
    make_engine(options.engine, options.workers, options.ray_address)  # known, and installed
    if options.engine != "local" and options.by_model:
        raise BadInput(
            f"--engine {options.engine}: judges the repair policy's candidates; "
            f"with --policy {options.policy} use --workers"
        )
    if options.by_model or options.judge_model:
        from meritree.swe.agent.setup import check_model_options

        check_model_options(options)
    if options.policy == "mini":
        from meritree.swe.mini.package import check_installed

        check_installed()
        if options.value_model:
            raise BadInput("--value-model: with --policy mini rules and tests judge; leave it out")
    acceptance(options.calibration)  # a journal that cannot be read is found before the search


def _check_channels(options: FixOptions, channels: Sequence[Channel]) -> None:
    with_channels(ValueWeights(), channels)
    if channels and options.by_model:
        raise BadInput(
            f"channels: {channels[0].name!r} would judge the repair policy's candidates; with "
            f"policy={options.policy!r} leave it out"
        )

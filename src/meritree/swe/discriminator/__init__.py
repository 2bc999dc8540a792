"""Choosing among patches: tests, majority, debate. Docs: docs/discriminator.md."""

from meritree.swe.discriminator.choose import Accuracy, choose, stage_accuracy
from meritree.swe.discriminator.data import Candidate, Choice, OrderBias, Stage, Turn, Verdict
from meritree.swe.discriminator.debate import Debate
from meritree.swe.discriminator.normal import normal_form

__all__ = [
    "Accuracy",
    "Candidate",
    "Choice",
    "Debate",
    "OrderBias",
    "Stage",
    "Turn",
    "Verdict",
    "choose",
    "normal_form",
    "stage_accuracy",
]

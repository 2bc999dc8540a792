"""The last choice among passing patches: the ranking's first, or what a debate makes of it.

Local debaters know the right patch as often as they are told to, so that what a debate needs to pay
can be measured without a language model. Knows no strategy and no claim.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from meritree.swe.choosing import AGENTS, MOST, ROUNDS

if TYPE_CHECKING:
    from meritree.respond.data import Request
    from meritree.respond.model import Model
    from meritree.studies.swe.cases import Passing
    from meritree.swe.discriminator import Debate

_SHOWN = re.compile(r"<<< patch (\w) (\w+)\n(.*?)\n>>> patch \1 \2", re.DOTALL)
_HEARD = re.compile(r"^agent \d+ is for (\w+):", re.MULTILINE)


def debate_of(
    settings: Mapping[str, Any], passing: Sequence[Passing], seed: int, quality: float | None = None
) -> Debate:
    """A debate as `meritree fix --judge-model` holds it.

    Args:
        settings: ``model`` and ``base_url`` of the endpoint that debates and judges; without one,
            and for curves of quality, local debaters do.
        quality: how often a local debater knows the right patch; None: ``debaters`` of settings.
    """
    from meritree.respond.connect import Choice, connect
    from meritree.swe.discriminator import Debate

    if settings["model"] and quality is None:
        speaker = connect(Choice(settings["model"], settings["base_url"] or None))
        return Debate([speaker], speaker, agents=AGENTS, rounds=ROUNDS, seed=seed)
    knows = settings["debaters"] if quality is None else quality
    right = [one.patch for one in passing if one.right]
    *agents, judge = (debater(knows, right, seed, number) for number in range(AGENTS + 1))
    return Debate(agents, judge, agents=AGENTS, rounds=ROUNDS, seed=seed)


def chosen(passing: Sequence[Passing], told: str, debate: Debate | None) -> tuple[Passing, int]:
    """The patch to propose, and the tokens that choosing took.

    Args:
        passing: at least one, best ranked first.
        told: the fault.
        debate: None: the ranking decides.
    """
    if debate is None or len(passing) == 1:
        return passing[0], 0
    from meritree.swe.discriminator import Candidate, choose

    candidates = [Candidate(one.key, one.patch, one.files) for one in passing[:MOST]]
    choice = choose(candidates, task=told, debate=debate)
    return next(one for one in passing if one.key == choice.candidate), choice.spending.tokens


def debater(knows: float, right: Sequence[str], seed: int, number: int) -> Model:
    """Votes for a right patch where it knows one, else by lot; then joins a majority that it hears.

    Args:
        knows: how often it knows, in [0, 1]; it does not where nothing shown is right.
        right: the right patches.
        seed, number: of its chance; debaters of one debate have numbers of their own.
    """
    from meritree.respond.scripted import FunctionModel

    known = {patch.strip() for patch in right}

    def said(request: Request) -> str:
        shown = _SHOWN.findall(
            next(one.text for one in request.messages if "<<< patch" in one.text)
        )
        labels, code = sorted(label for label, _, _ in shown), shown[0][1][:4]
        dice = random.Random(f"{seed}:{number}:{request.messages[-1].text}")
        own = next((one.text for one in reversed(request.messages) if one.role == "assistant"), "")
        if before := re.search(r"^VOTE-\w+: (\w)$", own, re.MULTILINE):
            votes = Counter([*_HEARD.findall(request.messages[-1].text), before[1]])
            label, most = votes.most_common(1)[0]
            vote = label if 2 * most > votes.total() else before[1]
        else:
            good = sorted(label for label, _, patch in shown if patch.strip() in known)
            vote = dice.choice(good if good and dice.random() < knows else labels)
        return f"I am for patch {vote}.\nVOTE-{code}: {vote}"

    return FunctionModel(said, f"debater-{number}")

"""Noise of chosen size for studies: a model that errs, a value model that is off.

Both are functions of the conversation and a seed, so they may stand behind a server.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace

from meritree.errors import BadInput
from meritree.respond.data import Reply, Request, ToolCall
from meritree.respond.model import Model
from meritree.respond.scripted import FunctionModel
from meritree.run.ledger import Spending
from meritree.swe.agent import actions as act
from meritree.swe.agent.actions import Action, as_call
from meritree.swe.agent.value_agent import JUDGE


def dice_of(request: Request, seed: int) -> random.Random:
    """Chance that depends on the question alone."""
    said = repr([(one.role, one.text, [c.raw for c in one.tool_calls]) for one in request.messages])
    return random.Random(f"{seed}:{request.seed}:{said}")


class ErringModel:
    """A model that sometimes does something wrong: for studies and for trying the search.

    Args:
        model: who replies.
        wrong: share of replies that are actions without sense.
        malformed: share whose call is none.
        silent: share that are empty.
        seed: the same conversation and seed, the same slip.
    """

    def __init__(
        self, model: Model, *, wrong: float = 0.0, malformed: float = 0.0, silent: float = 0.0,
        seed: int = 0,
    ) -> None:  # fmt: skip
        if min(wrong, malformed, silent) < 0 or wrong + malformed + silent > 1:
            raise BadInput("rates of wrong, malformed and silent replies must be 0 to 1 together")
        self.name = f"erring-{model.name}"
        self._model = model
        self._rates = (wrong, malformed, silent)
        self._seed = seed

    def upper_bound(self, request: Request) -> Spending:
        """As of the model."""
        return self._model.upper_bound(request)

    def ask(self, request: Request) -> Reply:
        """The model's reply, or a slip."""
        reply = self._model.ask(request)
        dice = dice_of(request, self._seed)
        roll = dice.random()
        for rate, slip in zip(self._rates, (_wrong, _malformed, _silent), strict=True):
            if roll < rate:
                return slip(reply, dice)
            roll -= rate
        return reply


def _wrong(reply: Reply, dice: random.Random) -> Reply:
    call = reply.tool_calls[0] if reply.tool_calls else as_call(act.Plan(reply.text), "call_0")
    given = dict(call.arguments)
    wrongs: list[Callable[[], Action]] = [
        lambda: act.FindText(f"nothing like {dice.randrange(10**6)}"),
        lambda: act.View(f"missing_{dice.randrange(1000)}.py"),
        lambda: act.Plan(f"Look elsewhere, attempt {dice.randrange(10**6)}."),
    ]
    if call.name == "replace":
        path, old, new = str(given["path"]), str(given["old"]), str(given["new"])
        wrongs = [
            lambda: act.Replace(path, f"{old} ", new),
            lambda: act.Replace(path, old, f"{old}\n"),
            lambda: act.Replace(path, old, new[: len(new) // 2]),
        ]
    return replace(reply, tool_calls=(as_call(dice.choice(wrongs)(), call.id),))


def _malformed(reply: Reply, dice: random.Random) -> Reply:
    call = reply.tool_calls[0] if reply.tool_calls else ToolCall("call_0", "plan")
    broken = dice.choice(
        [
            ToolCall(call.id, f"{call.name}s", call.arguments, call.raw),
            ToolCall(call.id, call.name, {}, "{}"),
            ToolCall(call.id, call.name, {**call.arguments, "path": 7}, '{"path": 7}'),
        ]
    )
    return replace(reply, tool_calls=(broken,))


def _silent(reply: Reply, dice: random.Random) -> Reply:
    return replace(reply, text="", tool_calls=())


_PASSING = re.compile(r"(\d+) of (\d+) target tests? pass")


class NoisyValueModel:
    """A value model that knows what the tests say, with a bias and noise of chosen size.

    Args:
        bias: added to every value, on the scale of -100 to 100.
        noise: standard deviation of a Gaussian added to it.
        seed: the same conversation and seed, the same noise.
    """

    def __init__(
        self, bias: float = 0.0, noise: float = 0.0, seed: int = 0, name: str = "noisy-value"
    ) -> None:
        if noise < 0:
            raise BadInput(f"noise of {noise}: must be 0 or more")
        self.name = name
        self._bias, self._noise, self._seed = bias, noise, seed
        self._inner = FunctionModel(self._replied, name)

    def ask(self, request: Request) -> Reply:
        """A call of ``judge``."""
        return self._inner.ask(request)

    def upper_bound(self, request: Request) -> Spending:
        """The prompt's bound and ``max_tokens``, for no money."""
        return self._inner.upper_bound(request)

    def _replied(self, request: Request) -> Reply:
        text = request.messages[-1].text if request.messages else ""
        value, why = _rated(text)
        noise = dice_of(request, self._seed).gauss(0.0, self._noise) if self._noise else 0.0
        number = round(min(100.0, max(-100.0, value + self._bias + noise)))
        given = {"explanation": why, "value": number}
        return Reply("", (ToolCall("call_value", JUDGE.name, given, json.dumps(given)),))


def _rated(question: str) -> tuple[float, str]:
    """A value in [-100, 100] from what the question says of the tests."""
    shown = question.partition("# What it showed")[2]
    tests = question.partition("# What the tests say")[2].partition("# The patch now")[0]
    patched = "no change" not in question.rpartition("# The patch now")[2]
    if "cannot be loaded" in shown:
        return -100.0, "the code cannot be loaded"
    if "It breaks tests" in shown or "breaks " in tests:
        return -60.0, "it breaks tests that passed"
    if found := _PASSING.search(tests):
        share = int(found[1]) / max(1, int(found[2]))
        if not patched:
            return 20.0, "nothing is changed yet"
        if share == 0.0 and "fails exactly as before" in tests:
            return -40.0, "the tests fail as before"
        return -20.0 + 120.0 * share, f"{found[1]} of {found[2]} target tests pass"
    return 0.0, "no test says anything"

"""Models that need no key and no network: the repair policy behind the agent's tools, and noise.

Each is a function of the conversation alone, so it may stand behind a server, be asked in any
order and by several at once; it knows only what an agent of flesh or silicon would be told.
"""

from __future__ import annotations

import hashlib
import random
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from meritree.errors import BadInput
from meritree.respond.data import Reply, Request, ToolCall
from meritree.respond.model import Model
from meritree.respond.scripted import FunctionModel
from meritree.run.ledger import Spending
from meritree.swe.agent import actions as act
from meritree.swe.agent.actions import Action, as_call
from meritree.swe.agent.transcript import Place, Transcript, transcript
from meritree.swe.agent.value_agent import JUDGE
from meritree.swe.edits import Edit, apply_splices
from meritree.swe.repair.ingredients import Evidence, RepoIndex
from meritree.swe.repair.localize import LineSuspicion, Suspicion
from meritree.swe.repair.policy import RepairPolicy
from meritree.swe.repair.priors import FailureSigns, shipped
from meritree.swe.repair.templates import EditCatalogue

_FILES = 4  # looked at before anything is edited
_NEAR = 0.25  # share of the top suspicion that makes a file one of them
_CHUNK = 900  # lines asked for at once
_EDITS = 3  # on one branch
_REMEMBERED = 64
_WINDOW = 64


class RepairModel:
    """Views the suspected files, then edits in the repair policy's order of probability.

    Skips what hindsight says was tried; gives a branch up whose edit changed nothing; finishes
    when the tests pass. Asked for a value (tool ``judge``), it says what the tests say. At a
    temperature T > 0 it draws one of the next `_WINDOW` edits with probability ~ P^(1 / T), by
    the request's seed.
    """

    def __init__(self, name: str = "repair") -> None:
        self.name = name
        self._proposals: OrderedDict[str, _Proposals] = OrderedDict()
        self._mutex = threading.Lock()
        self._inner = FunctionModel(self._replied, name)
        self._judge = NoisyValueModel(name=name)

    def ask(self, request: Request) -> Reply:
        """The next action as a tool call."""
        if any(tool.name == JUDGE.name for tool in request.tools):
            return self._judge.ask(request)
        return self._inner.ask(request)

    def upper_bound(self, request: Request) -> Spending:
        """The prompt's bound and ``max_tokens``, for no money."""
        return self._inner.upper_bound(request)

    def _replied(self, request: Request) -> Reply:
        said, action = self._next(transcript(request.messages), request)
        return Reply(said, (as_call(action, f"call_{len(request.messages)}"),))

    def _next(self, seen: Transcript, request: Request) -> tuple[str, Action]:
        if "Tests: all " in seen.last:
            return "The tests pass.", act.Finish("the failing tests pass now")
        if seen.last_tool == "replace" and (stuck := _stuck(seen)):
            return stuck, act.Reject(stuck)
        viewing = _to_view(seen)
        if viewing is not None:
            return "The failing tests lead here.", viewing
        if not seen.places:
            return "Nothing says where to look.", act.Reject("the task names no place in the code")
        temperature = request.temperature or 0.0
        following = list(islice(self._untried(seen), _WINDOW if temperature > 0 else 1))
        if not following:
            return "Every edit was tried.", act.Reject("every edit that I know was tried here")
        chosen = following[0]
        if temperature > 0:
            weights = [max(one.probability, 1e-12) ** (1.0 / temperature) for one in following]
            (chosen,) = _dice(request, 0).choices(following, weights)
        return chosen.edit.rationale, chosen.action

    def _untried(self, seen: Transcript) -> Iterator[_Known]:
        """Edits that were not tried, most probable first; lessons not shown count too."""
        known = {action for action in seen.tried.actions if isinstance(action, act.Replace)}
        hidden = seen.tried.count - len(seen.tried.actions)
        for one in self._edits(seen):
            if one.action in known:
                continue
            if hidden > 0:
                hidden -= 1
                continue
            yield one

    def _edits(self, seen: Transcript) -> Iterator[_Known]:
        sources = seen.sources()
        name = hashlib.sha256(repr((sorted(sources.items()), seen.task)).encode()).hexdigest()
        with self._mutex:
            proposals = self._proposals.pop(name, None) or _Proposals(seen, sources)
            self._proposals[name] = proposals
            while len(self._proposals) > _REMEMBERED:
                self._proposals.popitem(last=False)
        return proposals.all()


class _Known(NamedTuple):
    edit: Edit
    action: act.Replace
    probability: float


class _Proposals:
    """The edits of one state of the files, made when they are asked for."""

    def __init__(self, seen: Transcript, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._found: list[_Known] = []
        self._mutex = threading.Lock()
        kinds = tuple(dict.fromkeys(kind for kind, _ in seen.exceptions if kind))
        messages = tuple(message for _, message in seen.exceptions if message)
        evidence = Evidence(
            tuple((k, m) for k, m in seen.exceptions if k), tuple(seen.expected), tuple(seen.actual)
        )
        index = RepoIndex(sources).with_hints((), seen.task)
        catalogue = EditCatalogue(index, evidence)
        lines = tuple(_suspicions(seen.places, sources))
        self._policy = RepairPolicy(
            catalogue,
            sources,
            Suspicion(lines, head=len(lines)),
            shipped(catalogue.templates),
            signs=FailureSigns(kinds, messages, tuple(seen.expected)),
        )

    def all(self) -> Iterator[_Known]:
        """In order of probability."""
        place = 0
        while True:
            with self._mutex:
                if place == len(self._found) and not self._more():
                    return
                found = self._found[place]
            place += 1
            yield found

    def _more(self) -> bool:
        while (proposal := self._policy.propose({}, "")) is not None:
            action = as_replacement(proposal.edit, self._sources[proposal.edit.path])
            if action is not None:
                self._found.append(_Known(proposal.edit, action, proposal.probability))
                return True
        return False


def _suspicions(places: list[Place], sources: Mapping[str, str]) -> Iterator[LineSuspicion]:
    """The places that are still there; edits before them have moved some."""
    for place in places:
        text = sources.get(place.path)
        if text is None:
            continue
        lines = text.split("\n")
        here = [n for n, line in enumerate(lines, 1) if line.strip()[:120] == place.code]
        if here:
            line = min(here, key=lambda n: abs(n - place.line))
            yield LineSuspicion(place.path, line, max(place.share, 1e-4), place.share, "")


def as_replacement(edit: Edit, text: str) -> act.Replace | None:
    """The edit as whole lines that occur once in ``text``; None where it changes nothing."""
    new_text = apply_splices(text, edit.splices)
    if new_text == text:
        return None
    old, new = text.split("\n"), new_text.split("\n")
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    start, end = head, len(old) - tail
    if start == end:  # lines were only added: take one along
        start = max(0, start - 1)
        end = max(end, start + 1)
    while text.count("\n".join(old[start:end])) != 1:
        if start == 0 and end == len(old):
            return None
        start, end = max(0, start - 1), min(len(old), end + 1)
    shift = len(new) - len(old)
    return act.Replace(edit.path, "\n".join(old[start:end]), "\n".join(new[start : end + shift]))


def _stuck(seen: Transcript) -> str:
    """Why the branch of the latest edit is given up; empty when it is worth going on."""
    if not seen.last.startswith("Edited "):
        return "the edit could not be made"
    if "It breaks tests" in seen.last or "cannot be loaded" in seen.last:
        return "the edit breaks what worked"
    if "They fail exactly as before." in seen.last:
        return "the edit changes nothing for the tests"
    if seen.edits >= _EDITS:
        return f"{seen.edits} edits are enough for one attempt"
    return ""


def _to_view(seen: Transcript) -> act.View | None:
    """The next suspected file that was not shown whole."""
    files = dict.fromkeys(place.path for place in seen.places if place.share >= _NEAR)
    tried = {action for action in seen.tried.actions if isinstance(action, act.View)}
    for path in list(files)[:_FILES]:
        shown = seen.files.get(path)
        start = 1 if shown is None else shown.missing
        action = act.View(path, start, start + _CHUNK - 1)
        if start and action not in tried:
            return action
    return None


def _dice(request: Request, seed: int) -> random.Random:
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
        dice = _dice(request, self._seed)
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
        noise = _dice(request, self._seed).gauss(0.0, self._noise) if self._noise else 0.0
        number = round(min(100.0, max(-100.0, value + self._bias + noise)))
        given = {"explanation": why, "value": number}
        return Reply("", (ToolCall("call_value", JUDGE.name, given, _json(given)),))


def _json(given: Mapping[str, object]) -> str:
    import json

    return json.dumps(given)


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


def repair_kinds() -> Mapping[str, Callable[[str, int], Model]]:
    """``repair`` and ``repair:SLIPS`` for `respond.local_model`.

    SLIPS is the share of replies that go wrong, a third of them each without sense, with a call
    that is none, and empty.
    """
    return {"repair": _repair}


def _repair(argument: str, seed: int) -> Model:
    model = RepairModel()
    if not argument:
        return model
    try:
        third = float(argument) / 3
    except ValueError:
        raise BadInput(
            f"--model repair:{argument}: {argument!r} is no share; write repair:0.2"
        ) from None
    return ErringModel(model, wrong=third, malformed=third, silent=third, seed=seed)

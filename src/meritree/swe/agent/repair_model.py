"""Models that need no key and no network: the repair policy behind the agent's tools, and noise.

Each is a function of the conversation alone, so it may stand behind a server, be asked in any
order and by several at once; it knows only what an agent of flesh or silicon would be told.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from meritree.errors import BadInput
from meritree.respond.data import Reply, Request
from meritree.respond.model import Model
from meritree.respond.scripted import FunctionModel
from meritree.run.ledger import Spending
from meritree.swe.agent import actions as act
from meritree.swe.agent.actions import Action, as_call
from meritree.swe.agent.noise import ErringModel, NoisyValueModel, dice_of
from meritree.swe.agent.transcript import Place, Transcript, transcript
from meritree.swe.agent.value_agent import JUDGE
from meritree.swe.edits import Edit, apply_splices
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.policy import RepairPolicy
from meritree.swe.repair.priors import FailureSigns, shipped
from meritree.swe.repair.suspicion import LineSuspicion, Suspicion
from meritree.swe.repair.templates import EditCatalogue

_FILES = 4  # looked at before anything is edited
_NEAR = 0.25  # share of the top suspicion that makes a file one of them
_CHUNK = 900  # lines asked for at once
_EDITS = 3  # on one branch
_REMEMBERED = 64
_WINDOW = 32  # edits that one is drawn from where a temperature is asked for


class RepairModel:
    """Views the suspected files, then edits in the repair policy's order of probability.

    Skips what hindsight says was tried; draws by probability where a temperature is given; gives
    a branch up whose edit changed nothing; finishes when the tests pass. Asked for a value (tool
    ``judge``), it says what the tests say.
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
        following = self._untried(seen, request)
        if following is None and not seen.files:  # what was viewed elsewhere is not known here
            place = seen.places[0]
            return "I look again.", act.View(place.path, 1, _CHUNK)
        if following is None:
            return "Every edit was tried.", act.Reject("every edit that I know was tried here")
        return following

    def _untried(self, seen: Transcript, request: Request) -> tuple[str, Action] | None:
        """The most probable edit that was not tried, or one drawn by the temperature.

        Lessons that are counted and not shown count too.
        """
        known = {action for action in seen.tried.actions if isinstance(action, act.Replace)}
        hidden = seen.tried.count - len(seen.tried.actions)
        drawn: list[tuple[Edit, act.Replace, float]] = []
        wanted = _WINDOW if request.temperature else 1
        for edit, action, probability in self._edits(seen):
            if action in known:
                continue
            if hidden > 0:
                hidden -= 1
                continue
            drawn.append((edit, action, probability))
            if len(drawn) == wanted:
                break
        if not drawn:
            return None
        edit, action, _ = drawn[0]
        if request.temperature:
            weights = [max(p, 1e-12) ** (1 / request.temperature) for _, _, p in drawn]
            edit, action, _ = dice_of(request, 0).choices(drawn, weights)[0]
        return edit.rationale, action

    def _edits(self, seen: Transcript) -> Iterator[tuple[Edit, act.Replace, float]]:
        sources = seen.sources()
        name = hashlib.sha256(repr((sorted(sources.items()), seen.task)).encode()).hexdigest()
        with self._mutex:
            proposals = self._proposals.pop(name, None) or _Proposals(seen, sources)
            self._proposals[name] = proposals
            while len(self._proposals) > _REMEMBERED:
                self._proposals.popitem(last=False)
        return proposals.all()


class _Proposals:
    """The edits of one state of the files, made when they are asked for."""

    def __init__(self, seen: Transcript, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._found: list[tuple[Edit, act.Replace, float]] = []
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

    def all(self) -> Iterator[tuple[Edit, act.Replace, float]]:
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
                self._found.append((proposal.edit, action, proposal.probability))
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

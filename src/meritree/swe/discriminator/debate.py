"""A debate: agents argue over several rounds, hear each other, and a judge decides.

Every call is paid from a ledger. Whatever a model says or fails to say, the debate ends with what
there is; knows nothing of tests or of equal patches.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from meritree.errors import BadInput, BudgetExceeded
from meritree.respond import Ledgered, Message, Model, ModelError, Request, ledgered, system, user
from meritree.respond.prompt_files import fenced, filled, mark_for
from meritree.run.account import Account
from meritree.run.ledger import Ledger, Limits, Spending
from meritree.swe.discriminator.ballot import NONE, ballots, read_ballot
from meritree.swe.discriminator.data import Candidate, OrderBias, Stage, Turn

_PACKAGE = "meritree.swe.discriminator"
_LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PATCH = 20_000  # characters of a patch that are shown


@dataclass(frozen=True, slots=True)
class Debate:
    """Who debates and how.

    Attributes:
        models: of the agents; fewer models than agents are used in turn.
        judge: decides where agents do not agree; None: their votes do.
        agents: how many.
        rounds: the most of them; the debate ends earlier when all agree or nobody changed.
        temperature, judge_temperature: None leaves it to the endpoint.
        max_tokens: of one speech.
        seed: of labels and orders.
        ledger: what pays (a `Ledgered` model pays from its own).
    """

    models: Sequence[Model]
    judge: Model | None = None
    agents: int = 3
    rounds: int = 3
    temperature: float | None = 1.0
    judge_temperature: float | None = 0.2
    max_tokens: int = 1024
    seed: int = 0
    ledger: Ledger = field(default_factory=lambda: Ledger(Limits()))

    def __post_init__(self) -> None:
        if not self.models:
            raise BadInput("debate: no model; give at least one")
        if self.agents < 1 or self.rounds < 1:
            raise BadInput(
                f"debate: {self.agents} agents and {self.rounds} rounds; give 1 or more of each"
            )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a debate ended; ``candidate`` is None where it could not decide."""

    candidate: str | None
    stage: Stage
    reason: str
    picks: Mapping[str, str]
    transcript: tuple[Turn, ...]
    spending: Spending
    bias: OrderBias


def debated(debate: Debate, candidates: Sequence[Candidate], task: str) -> Outcome:
    """Let the agents debate, then the judge decide.

    Raises:
        BadInput: fewer than 2 candidates or more than 26.
    """
    if not 2 <= len(candidates) <= len(_LABELS):
        raise BadInput(f"debate: {len(candidates)} candidates; it takes 2 to {len(_LABELS)}")
    hall = _Hall(debate, candidates, task)
    try:
        return hall.decided(hall.discuss())
    except BudgetExceeded as error:
        return hall.counted(f"the budget ended the debate ({error})")


class _Hall:
    """The state of one debate."""

    def __init__(self, debate: Debate, candidates: Sequence[Candidate], task: str) -> None:
        self.debate = debate
        self.rng = random.Random(f"debate {debate.seed}")
        self.ids = [one.id for one in candidates]
        self.rng.shuffle(self.ids)
        self.label = dict(zip(self.ids, _LABELS, strict=False))
        self.by_label = {label: one for one, label in self.label.items()}
        self.mark = mark_for([task, *(one.patch for one in candidates)], debate.seed)
        self.code = self.mark[:4]
        self.task = fenced("fault", task.strip() or "(not described)", self.mark)
        self.patches = {
            one.id: fenced(f"patch {self.label[one.id]}", _cut(one.patch), self.mark)
            for one in candidates
        }
        self.accounts: dict[int, Account] = {}
        models = [debate.models[i % len(debate.models)] for i in range(debate.agents)]
        self.agents = [self._paying(model) for model in models]
        self.orders = _orders(self.ids, len(models), self.rng)
        self.talks: list[list[Message]] = [[] for _ in self.agents]
        self.votes: list[str | None] = [None] * len(self.agents)
        self.said: list[str] = [""] * len(self.agents)
        self.turns: list[Turn] = []
        self.picks: dict[str, str] = {}
        self.bias = OrderBias()

    def discuss(self) -> str:
        """Rounds until all agree, nobody changes, or their number is reached; says which."""
        for number in range(1, self.debate.rounds + 1):
            before = list(self.votes)
            heard = list(zip(self.said, self.votes, strict=True))
            for agent in range(len(self.agents)):
                self._speak(number, agent, heard)
            if number == 1 and (favourite := _favourite(self.votes)):
                self.picks["first votes"] = favourite
            if None not in self.votes and len(set(self.votes)) == 1:
                return f"all {len(self.votes)} agents agree after round {number}"
            if not any(self.said) and not any(self.votes):
                return f"nobody had anything to say in round {number}"
            if number > 1 and self.votes == before:
                return f"nobody changed in round {number}"
        return f"{self.debate.rounds} rounds are over"

    def decided(self, ended: str) -> Outcome:
        """What the agents agree on, else what the judge says."""
        if None not in self.votes and len(set(self.votes)) == 1:
            return self._outcome(self.votes[0], "agreement", ended)
        if self.debate.judge is None:
            return self.counted(f"{ended}; there is no judge")
        base = list(self.ids)
        self.rng.shuffle(base)
        judge = self._paying(self.debate.judge)
        first, second = self._judged(judge, base), self._judged(judge, base[::-1])
        if first and second:
            flip = int(first != second)
            self.bias += OrderBias(pairs=1, flips=flip)
            if flip:
                return self.counted(f"{ended}; the judge's choice changed with the order")
        if chosen := first or second:
            self.picks["judge"] = chosen
            both = "in both orders" if first and second else "in one order, no answer in the other"
            return self._outcome(chosen, "judge", f"{ended}; the judge chose it {both}")
        return self.counted(f"{ended}; the judge could not tell")

    def counted(self, why: str) -> Outcome:
        """The agents' majority as it stands, if there is one."""
        chosen = _favourite(self.votes)
        text = "their last votes decide" if chosen else "their votes are tied or missing"
        return self._outcome(chosen, "votes", f"{why}; {text}")

    # ---- one speech -----------------------------------------------------------------

    def _speak(self, number: int, agent: int, heard: Sequence[tuple[str, str | None]]) -> None:
        """One agent's turn; in the first round every second one sees the patches reversed."""
        talk = self.talks[agent]
        if number == 1:
            shown = self.orders[agent]
            talk[:] = [self._system(), user(self._prompt("first", shown))]
        else:
            shown = []
            others = [
                (f"agent {i + 1}", *one) for i, one in enumerate(heard) if i != agent and one[0]
            ]
            arguments = self._arguments(others)
            text = filled(_PACKAGE, "next", arguments=arguments, ballots=self._ballots())
            talk.append(user(text))
        turn = self._turn(self.agents[agent], talk, self.debate.temperature)
        turn = replace(turn, round=number, speaker=f"agent {agent + 1}", shown=tuple(shown))
        self.votes[agent], self.said[agent] = turn.vote, turn.argument
        self._note(turn)

    def _judged(self, judge: Model, shown: list[str]) -> str | None:
        speakers = [(f"agent {i + 1}", self.said[i], vote) for i, vote in enumerate(self.votes)]
        arguments = self._arguments([one for one in speakers if one[1]])
        talk = [self._system(), user(self._prompt("judge", shown, arguments=arguments))]
        turn = self._turn(judge, talk, self.debate.judge_temperature)
        self._note(replace(turn, round=0, speaker="judge", shown=tuple(shown)))
        return turn.vote

    def _turn(self, model: Model, talk: list[Message], temperature: float | None) -> Turn:
        """Ask, and once more where the vote cannot be read; ``talk`` grows by what was said."""
        before = self._spent
        note, argument, vote = "", "", None
        for attempt in range(2):
            request = Request(
                tuple(talk), temperature=temperature, max_tokens=self.debate.max_tokens
            )
            try:
                reply = model.ask(request)
            except ModelError as error:
                note = f"abstains: {error}"
                break
            ballot = read_ballot(reply.text, self.by_label.keys(), self.code)
            talk.append(Message("assistant", reply.text))
            argument = argument or ballot.argument
            if not ballot.problem:
                vote = None if ballot.label == NONE else self.by_label[ballot.label]
                note = f"asked again: {note}" if note else ""
                break
            note = ballot.problem
            if attempt:
                note = f"abstains: {note}"
            else:
                why = filled(_PACKAGE, "repair", why=ballot.problem, ballots=self._ballots())
                talk.append(user(why))
        return Turn(0, "", (), vote, argument, note, _minus(self._spent, before))

    # ---- parts ----------------------------------------------------------------------

    def _paying(self, model: Model) -> Model:
        """The model, paying through an account of its own ledger or of the debate's."""
        if isinstance(model, Ledgered):
            return replace(model, ledger=self._account(model.ledger))
        return ledgered(model, self._account(self.debate.ledger))

    def _account(self, ledger: Ledger) -> Account:
        return self.accounts.setdefault(id(ledger), Account(ledger))

    @property
    def _spent(self) -> Spending:
        return reduce(_plus, (one.total for one in self.accounts.values()), Spending())

    def _system(self) -> Message:
        return system(filled(_PACKAGE, "system", mark=self.mark))

    def _ballots(self) -> str:
        return ballots([self.label[one] for one in self.ids], self.code)

    def _prompt(self, name: str, shown: Sequence[str], **more: str) -> str:
        patches = "\n\n".join(self.patches[one] for one in shown)
        return filled(
            _PACKAGE, name, task=self.task, patches=patches, ballots=self._ballots(), **more
        )

    def _arguments(self, speakers: Sequence[tuple[str, str, str | None]]) -> str:
        """Others' words: they may repeat what a patch told them, so they are fenced too."""
        told = [
            f"{name} is for {self.label[vote] if vote else 'none'}:\n"
            + fenced(name, said.replace(self.mark, "[mark]"), self.mark)
            for name, said, vote in speakers
        ]
        return "\n\n".join(told) or "(nothing)"

    def _note(self, turn: Turn) -> None:
        self.turns.append(turn)
        if turn.vote is not None and turn.shown:
            self.bias += OrderBias(
                1,
                int(turn.vote == turn.shown[0]),
                int(turn.vote == turn.shown[-1]),
                1.0 / len(turn.shown),
            )

    def _outcome(self, candidate: str | None, stage: Stage, reason: str) -> Outcome:
        favourite = _favourite(self.votes)
        if favourite:
            self.picks["votes"] = favourite
        if candidate and stage == "agreement":
            self.picks["agreement"] = candidate
        return Outcome(
            candidate, stage, reason, dict(self.picks), tuple(self.turns), self._spent,
            self.bias,
        )  # fmt: skip


def _favourite(votes: Sequence[str | None]) -> str | None:
    """The id with the most votes, None where there are none or the most are tied."""
    most = Counter(one for one in votes if one is not None).most_common(2)
    if not most or (len(most) > 1 and most[0][1] == most[1][1]):
        return None
    return most[0][0]


def _orders(ids: Sequence[str], agents: int, rng: random.Random) -> list[list[str]]:
    """An order for each agent: every second one sees the one before it reversed."""
    found: list[list[str]] = []
    for agent in range(agents):
        found.append(found[-1][::-1] if agent % 2 else rng.sample(ids, len(ids)))
    return found


def _plus(one: Spending, other: Spending) -> Spending:
    return Spending(
        one.evaluations + other.evaluations,
        one.seconds + other.seconds,
        one.tokens + other.tokens,
        one.usd + other.usd,
    )


def _minus(after: Spending, before: Spending) -> Spending:
    return Spending(
        after.evaluations - before.evaluations,
        after.seconds - before.seconds,
        after.tokens - before.tokens,
        after.usd - before.usd,
    )


def _cut(patch: str) -> str:
    if len(patch) <= _PATCH:
        return patch
    return f"{patch[:_PATCH]}\n[... {len(patch) - _PATCH} characters more are not shown]"

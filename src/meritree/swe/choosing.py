"""Which of several verified patches comes first: a debate of models, where one is named.

Joins the discriminator to a run of `meritree fix`; knows nothing of how the patches were found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from meritree.errors import BudgetExceeded
from meritree.run.ledger import Ledger, Spending
from meritree.swe import discriminator
from meritree.swe.agent.setup import endpoint
from meritree.swe.discriminator import Choice, Debate
from meritree.swe.prepared import Prepared
from meritree.swe.result import Candidate, FixOptions
from meritree.swe.verify import Searched

MOST = 5  # patches that are debated, as published for SWE-Search
AGENTS, ROUNDS = 5, 3


class Chooser:
    """Puts the patch that a debate chooses before the others.

    Only verified patches that nothing flags are debated, the `MOST` that rank highest.

    Args:
        known: what an earlier part of the run was told; nobody is asked again.
        note: records what was said.

    Attributes:
        said: the choice as JSON data; None where there was nothing to choose.
    """

    def __init__(
        self,
        prepared: Prepared,
        options: FixOptions,
        ledger: Ledger,
        search: Searched,
        known: Mapping[str, Any] | None,
        note: Callable[[dict[str, Any]], None],
    ) -> None:
        self._prepared = prepared
        self._options = options
        self._ledger = ledger
        self._search = search
        self._known = known
        self._note = note
        self.said: Mapping[str, Any] | None = None

    def __call__(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates with the chosen one first."""
        debated = [one for one in candidates if one.verified and not one.flags][:MOST]
        if len(debated) < 2:
            return list(candidates)
        if self._known is None:
            choice = discriminator.choose(
                [
                    discriminator.Candidate(self._key_of(one.node), one.patch, self._texts(one))
                    for one in debated
                ],
                task=told_of(self._prepared),
                debate=self._debate(),
            )
            self.said = choice_data(choice)
            self._note(dict(self.said))
        else:
            self.said = self._known
            self._book_again(self.said["spent"])
        chosen = self.said["chosen"]
        return sorted(candidates, key=lambda one: self._key_of(one.node) != chosen)

    def _debate(self) -> Debate:
        options = self._options
        judge = endpoint(options.judge_model, options)
        speaks = endpoint(options.model, options) if options.model else judge
        return Debate(
            [speaks], judge, agents=AGENTS, rounds=ROUNDS, seed=options.seed, ledger=self._ledger
        )

    def _key_of(self, node: int) -> str:
        return self._search.states[node].key

    def _texts(self, candidate: Candidate) -> dict[str, str]:
        files = self._search.files(candidate.node)
        return {path: text for path, text in files.items() if text is not None}

    def _book_again(self, spent: Mapping[str, Any]) -> None:
        """What an earlier part of the run paid stands in the books of this one too."""
        amount = Spending(tokens=int(spent["tokens"]), usd=float(spent["usd"]))
        try:
            self._ledger.reserve(amount).book(amount)
        except BudgetExceeded:
            return  # the journal has it


def told_of(prepared: Prepared) -> str:
    """The fault in words: the issue text and what the failing tests say."""
    told = prepared.options.issue.strip()
    results = prepared.baseline.results
    failing = "\n".join(f"{t}: {results[t].message}" for t in prepared.targets[:20])
    return f"{told}\n\nThese tests failed and pass with every patch:\n{failing}".strip()


def choice_data(choice: Choice) -> dict[str, Any]:
    """A choice as JSON data, documented in docs/fix-json.md."""
    return {
        "chosen": choice.candidate,
        "stage": choice.stage,
        "reasons": list(choice.reasons),
        "spent": {"tokens": choice.spending.tokens, "usd": choice.spending.usd},
        "transcript": [
            {key: value for key, value in asdict(turn).items() if key != "spent"}
            for turn in choice.transcript
        ],
    }

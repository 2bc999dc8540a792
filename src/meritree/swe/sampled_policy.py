"""Draws proposals from another policy's distribution instead of taking the most probable first.

For strategies that are stochastic by nature (best-of-n). Knows nothing of trees or tests.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from meritree.swe.code_search import EditPolicy, Files, Proposed
from meritree.swe.edits import Edit
from meritree.swe.testing.types import Outcome


@dataclass(slots=True)
class SampledPolicy:
    """One of the next ``window`` proposals, with probability ~ P^(1 / temperature).

    Without replacement; what is not drawn stays in the window, so every proposal is made in the
    end. Proposals beyond the window, less probable than all in it, cannot be drawn yet. The draws
    depend on the seed, the state and the number of its draws alone, so a resumed search repeats
    them.

    Attributes:
        policy: proposes most probable first.
        seed: of the draws.
        temperature: > 0; 1 is the policy's own distribution.
        window: >= 1.
    """

    policy: EditPolicy
    seed: int
    temperature: float = 1.0
    window: int = 64
    _waiting: dict[str, list[Proposed]] = field(default_factory=dict)
    _draws: dict[str, int] = field(default_factory=dict)

    def propose(self, key: str, files: Files) -> Proposed | None:
        """A state's next drawn edit; None when every one was proposed."""
        waiting = self._waiting.setdefault(key, [])
        while len(waiting) < self.window:
            following = self.policy.propose(key, files)
            if following is None:
                break
            waiting.append(following)
        if not waiting:
            return None
        number = self._draws[key] = self._draws.get(key, 0) + 1
        weights = [max(p.probability, 1e-12) ** (1.0 / self.temperature) for p in waiting]
        generator = random.Random(f"{self.seed}:{key}:{number}")
        place = generator.choices(range(len(waiting)), weights)[0]
        return waiting.pop(place)

    def peek(self, key: str) -> float:
        """The highest probability among the proposals that may come next."""
        waiting = [p.probability for p in self._waiting.get(key, ())]
        return max(waiting, default=self.policy.peek(key))

    def allows(self, key: str) -> bool:
        """Whether a state may be edited further."""
        return self.policy.allows(key)

    def tell(self, key: str, edit: Edit, child_key: str, outcome: Outcome) -> None:
        """Let the policy learn what an edit did."""
        self.policy.tell(key, edit, child_key, outcome)

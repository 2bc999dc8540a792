"""A frozen language model steered by values while it speaks; several guides add up.

At each step beta (q - mean q) is added to the logits of the most probable tokens. Weights are not
touched; how the values came about is unknown here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from meritree.align._torch import Module, Tensor, torch
from meritree.align.adaptors.logits import GuidedProcessor
from meritree.align.data import Answer, Ids
from meritree.align.guides import Anew, Session, ValueFn, at_rest, check_q
from meritree.align.sample import sample
from meritree.errors import BadInput
from meritree.objectives.decoding import tilt


@dataclass(frozen=True)
class Drawn:
    """Answers of a guided policy.

    Attributes:
        rows: n neighbours a prompt, with the columns ``old_logp`` (under the guided policy) and
            ``ref_logp`` (under the base) of each token.
        n: answers a prompt.
        kl: mean over answers of KL(guided || base), in nats, the whole vocabulary at each token.
        base_tokens: positions that the base read.
        guide_tokens: positions that the guides read, all together.
    """

    rows: tuple[Answer, ...]
    n: int
    kl: float
    base_tokens: int
    guide_tokens: int

    @property
    def tokens(self) -> int:
        """Positions that any model read."""
        return self.base_tokens + self.guide_tokens

    @property
    def responses(self) -> list[list[list[int]]]:
        """As `meritree.align.sample.sample` gives them."""
        flat = [list(row.response) for row in self.rows]
        return [flat[i : i + self.n] for i in range(0, len(flat), self.n)]


@dataclass(frozen=True)
class Guided:
    """Value-augmented sampling (Han et al. 2024, arXiv 2405.06639): pi ~ pi_0 e^(sum beta q).

    Attributes:
        base: a causal model, called like `meritree.align.forward.Policy`; `sample` and `draw` need
            one that can generate.
        guides: (beta, value function) pairs; a guide of strength 0 is not asked. None: the base.
        topk: how many candidates are valued, the base's most probable (released: 20).
        centre: subtract the mean over the candidates, so that the other tokens keep their place.
        rest: ``keep`` or ``drop`` tokens that are no candidates.
        temperature: of draws, after the tilt; 0 for the likeliest token.
    """

    base: Module
    guides: tuple[tuple[float, ValueFn], ...] = ()
    topk: int = 20
    centre: bool = True
    rest: Literal["keep", "drop"] = "keep"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.topk < 1:
            raise BadInput(f"Guided: topk is {self.topk}; it must be at least 1")
        if self.rest not in ("keep", "drop"):
            raise BadInput(f"Guided: rest is {self.rest!r}; use 'keep' or 'drop'")
        if not 0.0 <= self.temperature < math.inf:
            raise BadInput(f"Guided: temperature is {self.temperature}; it must be finite and >= 0")
        for number, (beta, value) in enumerate(self.guides):
            if not math.isfinite(beta):
                raise BadInput(f"Guided: guide {number} has the strength {beta}; it must be finite")
            if not hasattr(value, "q"):
                raise BadInput(
                    f"Guided: guide {number} is a {type(value).__name__} without q(ids, attention, "
                    "candidates); meritree.align.guides.Valued(critic) makes a guide of a critic"
                )

    def sessions(self) -> list[Session]:
        """A fresh one for each guide, for one generation."""
        return [_session(value) for _, value in self.guides]

    def tilted(
        self, logits: Tensor, ids: Tensor, attention: Tensor, sessions: Sequence[Session]
    ) -> Tensor:
        """The base's logits [B, V] after rows [B, S], with the guides' gains, before temperature.

        Raises:
            BadInput: a guide gave another shape than [B, K] or a number that is not finite.
        """
        candidates = logits.topk(min(self.topk, logits.shape[-1]), -1).indices
        gain = torch.zeros_like(candidates, dtype=logits.dtype)
        for number, ((beta, _), session) in enumerate(zip(self.guides, sessions, strict=True)):
            if beta:
                q = check_q(number, session.q(ids, attention, candidates), candidates)
                gain = gain + beta * q.to(logits.dtype)
        return tilt(logits, candidates, gain, 1.0, centre=self.centre, rest=self.rest)

    def step(self, ids: Tensor, attention: Tensor | None = None) -> Tensor:
        """Tilted logits of the next token after rows [B, S], [B, V]; nothing is remembered."""
        seen = torch.ones_like(ids) if attention is None else attention
        with at_rest(self.base):
            out = self.base(input_ids=ids, attention_mask=seen)
            logits = out if isinstance(out, torch.Tensor) else out.logits
            plain = [Anew(value) for _, value in self.guides]
            return self.tilted(logits[:, -1], ids, seen, plain)

    def sample(
        self, prompts: Sequence[Ids], *, n: int = 1, longest: int, end: int, seed: int = 0,
        batch: int = 512,
    ) -> list[list[list[int]]]:  # fmt: skip
        """As `meritree.align.sample.sample`, with the same draws where every strength is 0."""
        return sample(
            self.base, prompts, n=n, longest=longest, end=end, temperature=self.temperature,
            seed=seed, batch=batch, processor=lambda seen: GuidedProcessor(self, seen),
        )  # fmt: skip

    def draw(
        self, prompts: Sequence[Ids], *, n: int = 1, longest: int, end: int, seed: int = 0,
        batch: int = 512,
    ) -> Drawn:  # fmt: skip
        """The same answers, with what base and guided policy thought of them, and the cost.

        Raises:
            BadInput: temperature 0 (nothing is drawn then), or see `sample`.
        """
        if self.temperature == 0.0:
            raise BadInput("Guided.draw: temperature 0 draws nothing; use Guided.sample")
        watched: list[GuidedProcessor] = []

        def watch(seen: Tensor) -> Any:
            watched.append(GuidedProcessor(self, seen, watch=True))
            return watched[-1]

        found = sample(
            self.base, prompts, n=n, longest=longest, end=end, temperature=self.temperature,
            seed=seed, batch=batch, processor=watch,
        )  # fmt: skip
        flat = [(p, a) for p, given in zip(prompts, found, strict=True) for a in given]
        rows: list[Answer] = []
        kl = 0.0
        for number, one in enumerate(watched):
            part = flat[number * batch : (number + 1) * batch]
            told = one.told([a for _, a in part])
            kl += told.kl
            rows += [
                Answer(tuple(p), tuple(a), {"old_logp": own, "ref_logp": base})
                for (p, a), own, base in zip(part, told.own, told.base, strict=True)
            ]
        return Drawn(
            tuple(rows), n, kl / len(rows),
            sum(one.base_tokens for one in watched), sum(one.guide_tokens for one in watched),
        )  # fmt: skip


def _session(value: ValueFn) -> Session:
    made = getattr(value, "session", None)
    return Anew(value) if made is None else made()

"""A guided decoder inside ``model.generate(logits_processor=[...])`` of Transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from meritree.align._torch import Tensor, torch
from meritree.errors import BadInput

if TYPE_CHECKING:
    from meritree.align.guided import Guided


class Told(NamedTuple):
    """What was thought of the answers of one generation.

    Attributes:
        own, base: log-probability of each token under the guided policy and under the base.
        kl: KL(guided || base) summed over answers, in nats.
    """

    own: list[list[float]]
    base: list[list[float]]
    kl: float


class GuidedProcessor:
    """For one generation, of the guided decoder's base or of any model with its vocabulary.

    ``model.generate(..., logits_processor=[GuidedProcessor(guided)])``; greedy, sampling and beam
    search. Whatever comes after it (temperature, top-p) applies to the tilted logits;
    ``guided.temperature`` is not read.

    Args:
        guided: what tilts.
        attention: [B, S], of the prompts: needed where they are padded on the left.
        watch: remember what `told` tells; takes the guided policy to be what is drawn from, at
            ``guided.temperature``, without any other processor.
    """

    def __init__(
        self, guided: Guided, attention: Tensor | None = None, *, watch: bool = False
    ) -> None:
        self._guided, self._attention, self._watch = guided, attention, watch
        self._sessions = guided.sessions()
        self._before: tuple[Tensor, Tensor] | None = None
        self._own: list[Tensor] = []
        self._base: list[Tensor] = []
        self._kl: list[Tensor] = []
        self.base_tokens = 0

    @property
    def guide_tokens(self) -> int:
        """Positions that the guides have read."""
        return sum(session.tokens for session in self._sessions)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Tilted scores [B, V] of the token after rows [B, S].

        Raises:
            BadInput: prompts of another shape than their attention, or see `Guided.tilted`.
        """
        seen = self._seen(input_ids)
        with torch.no_grad():
            tilted = self._guided.tilted(scores, input_ids, seen, self._sessions)
        if self._watch:
            self._settle(input_ids[:, -1])
            own = (tilted / self._guided.temperature).log_softmax(-1)
            base = scores.log_softmax(-1)
            gap = torch.where(own > -torch.inf, own.exp() * (own - base), 0.0)
            self._kl.append(gap.sum(-1))
            self._before = own, base
            first = not self._own and len(self._kl) == 1
            self.base_tokens += int(seen.sum()) if first else len(seen)
        return tilted

    def told(self, responses: Sequence[Sequence[int]]) -> Told:
        """What was thought of the answers that were drawn, each up to its end token."""
        last = [row[-1] for row in responses]  # only read for the rows that ended at the last step
        assert self._before is not None
        self._settle(torch.tensor(last, device=self._before[0].device))
        own, base, kl = (torch.stack(x, 1).tolist() for x in (self._own, self._base, self._kl))
        sizes = [len(row) for row in responses]
        return Told(
            [row[:size] for row, size in zip(own, sizes, strict=True)],
            [row[:size] for row, size in zip(base, sizes, strict=True)],
            sum(sum(row[:size]) for row, size in zip(kl, sizes, strict=True)),
        )

    def _settle(self, tokens: Tensor) -> None:
        """Note what the last step thought of the tokens that were then drawn."""
        if self._before is not None:
            for kept, dist in zip((self._own, self._base), self._before, strict=True):
                kept.append(dist.gather(1, tokens[:, None])[:, 0])

    def _seen(self, ids: Tensor) -> Tensor:
        if self._attention is None:
            return torch.ones_like(ids)
        attention = self._attention
        more = ids.shape[1] - attention.shape[1]
        times = ids.shape[0] // max(1, attention.shape[0])
        if more < 0 or times * attention.shape[0] != ids.shape[0]:
            raise BadInput(
                f"GuidedProcessor: rows of shape {tuple(ids.shape)} do not go on from an attention "
                f"of shape {tuple(attention.shape)}; make one processor for each generation"
            )
        attention = attention.repeat_interleave(times, 0)  # beams of a prompt are neighbours
        return torch.cat([attention, attention.new_ones(ids.shape[0], more)], 1)

"""Values used while decoding: tilted logits, and choices among finished answers.

The model that gave the logits and the value that scored the candidates are the caller's.
"""

from __future__ import annotations

from typing import Literal

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, check
from meritree.objectives.rows import grouped


def tilt(
    logits: Array,
    candidates: Array,
    q: Array,
    beta: float,
    *,
    centre: bool = True,
    rest: Literal["keep", "drop"] = "keep",
) -> Array:
    """Logits with beta (q_a - mean q) added at the candidates: value-augmented sampling.

    Han et al. 2024 (arXiv 2405.06639), class VASLogitsProcessor of the released code. Centring
    leaves the distribution over the candidates as it is but decides how much mass the other
    tokens keep. Several guides: call it once each without ``rest="drop"``, they add up.

    Args:
        logits: [B, V].
        candidates: distinct token ids, [B, K], usually the K most probable.
        q: value after appending each candidate, [B, K].
        beta: strength; 0 is the base model.
        centre: subtract the mean over the candidates.
        rest: ``keep`` the other logits, or ``drop`` them to -infinity.

    Returns:
        [B, V].
    """
    xp = check("tilt", logits=(logits, "B V"), candidates=(candidates, "int B K"), q=(q, "B K"))
    if rest not in ("keep", "drop"):
        raise BadInput(f"tilt: rest is {rest!r}; use 'keep' or 'drop'")
    gain = beta * (q - xp.mean(q, axis=-1, keepdims=True) if centre else q)
    token = xp.cumulative_sum(xp.ones_like(logits[0, :]), axis=0) - 1.0
    here = xp.astype(candidates, logits.dtype)[:, :, None] == token
    added = xp.sum(xp.where(here, gain[:, :, None], 0.0 * gain[:, :, None]), axis=1)
    if rest == "keep":
        return logits + added
    chosen = xp.any(here, axis=1)
    return xp.where(chosen, logits + added, xp.full_like(logits, -float("inf")))


def step_score(p: Array, mask: Array, how: Literal["min", "last", "prod", "mean"]) -> Array:
    """One score an answer from the scores of its steps: [B, T] in [0, 1] -> [B].

    Process reward models (Lightman et al. 2023; Wang et al. 2024). ``last`` is the last step whose
    mask is not 0.
    """
    xp = check("step_score", p=(p, "B T"), mask=(mask, "B T"))
    on = mask > 0.0
    if how == "min":
        return xp.min(xp.where(on, p, xp.full_like(p, float("inf"))), axis=-1)
    if how == "prod":
        return xp.prod(xp.where(on, p, xp.ones_like(p)), axis=-1)
    if how == "mean":
        return xp.sum(p * mask, axis=-1) / xp.sum(mask, axis=-1)
    if how == "last":
        after = xp.concat([mask[:, 1:], xp.zeros_like(mask[:, :1])], axis=-1)
        return xp.sum(p * mask * (1.0 - after), axis=-1)
    raise BadInput(f"step_score: how is {how!r}; use 'min', 'last', 'prod' or 'mean'")


def weighted_vote(answer: Array, score: Array, size: int) -> Array:
    """Share of a prompt's score that goes to each answer's value: [B] ids, [B] scores -> [B].

    Equal ids are equal answers; the winner has the largest share. With equal scores it is the
    majority vote. RL^V (Sathe et al. 2025, arXiv 2505.04842), weighted voting; the share of the
    winner is the confidence that decides whether to think longer.
    """
    xp = check("weighted_vote", answer=(answer, "int B"), score=(score, "B"))
    s = grouped("weighted_vote", score, size)
    a = xp.reshape(answer, s.shape)
    same = xp.astype(a[:, :, None] == a[:, None, :], s.dtype)
    votes = xp.sum(same * s[:, None, :], axis=-1)
    return xp.reshape(votes / xp.sum(s, axis=-1, keepdims=True), score.shape)


def best_of_n(score: Array, size: int) -> Array:
    """Index within its group of each prompt's best answer (the first of equals): [N G] -> [N]."""
    xp = check("best_of_n", score=(score, "B"))
    return xp.argmax(grouped("best_of_n", score, size), axis=-1)

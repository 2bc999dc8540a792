"""Rewards that are formulas: rubrics, numbers within a tolerance, boxes, bags of embeddings.

Who extracted the numbers, boxes or verdicts from a text is not known here.
"""

from __future__ import annotations

import math

from meritree.objectives._namespace import Array, check
from meritree.objectives.rows import as_weights, mask_spec, positive


def rubric(aspects: Array, weight: Array) -> Array:
    """sum_k w_k c_k / sum_k w_k: Rubrics as Rewards, explicit aggregation, in [0, 1].

    Gunjal et al. 2025 (arXiv 2507.17746), equation 1 after notes; pitfalls phrased positively
    ("avoids ..."). One criterion is a verifier's reward.

    Args:
        aspects: verdicts in [0, 1], [B, K].
        weight: >= 0, [B, K], 0 where a prompt has fewer criteria.

    Returns:
        [B]; 0 for a row without criteria.
    """
    xp = check("rubric", aspects=(aspects, "B K"), weight=(weight, "B K"))
    total = xp.sum(weight, axis=-1)
    none = total == 0.0
    return xp.sum(aspects * weight, axis=-1) / xp.where(none, xp.ones_like(total), total)


def relative_tolerance(value: Array, target: Array, tolerance: float = 0.05) -> Array:
    """1 where |value - target| <= tolerance |target|, else 0: chart questions of Mixed-R1.

    Xu et al. 2025 (arXiv 2505.24164) after the abstract; the tolerance there is not checked.
    [...] twice -> [...].
    """
    xp = check("relative_tolerance", value=(value, "..."), target=(target, "..."))
    positive("relative_tolerance", tolerance=tolerance)
    return xp.astype(xp.abs(value - target) <= tolerance * xp.abs(target), value.dtype)


def iou(box: Array, target: Array) -> Array:
    """Intersection over union of boxes (x0, y0, x1, y1): [..., 4] twice -> [...], in [0, 1].

    0 for boxes that do not meet, or turned inside out.
    """
    xp = check("iou", box=(box, "... 4"), target=(target, "... 4"))
    stacked = xp.stack([box, target], axis=0)
    low, high = xp.max(stacked[..., :2], axis=0), xp.min(stacked[..., 2:], axis=0)
    side = xp.clip(high - low, min=0.0)
    shared = side[..., 0] * side[..., 1]
    sides = xp.clip(stacked[..., 2:] - stacked[..., :2], min=0.0)
    union = xp.sum(sides[..., 0] * sides[..., 1], axis=0) - shared
    none = union <= 0.0
    return xp.where(none, xp.zeros_like(union), shared / xp.where(none, xp.ones_like(union), union))


def bmas(answer: Array, target: Array, answer_mask: Array, target_mask: Array) -> Array:
    """Mean over both directions of each token's best cosine: open answers of Mixed-R1, in [-1, 1].

    (mean_i max_j S_ij + mean_j max_i S_ij) / 2, S the cosines of token embeddings. Xu et al. 2025
    (arXiv 2505.24164): the formula is read off the name, bidirectional max-average similarity.
    Blind to word order.

    Args:
        answer, target: embeddings, [B, T, D] and [B, U, D].
        answer_mask, target_mask: [B, T] and [B, U], any dtype; at least one token a row.

    Returns:
        [B].
    """
    xp = check(
        "bmas",
        answer=(answer, "B T D"),
        target=(target, "B U D"),
        answer_mask=(answer_mask, mask_spec(answer_mask, "B T")),
        target_mask=(target_mask, mask_spec(target_mask, "B U")),
    )
    rows, columns = as_weights(xp, answer_mask, answer), as_weights(xp, target_mask, answer)
    unit = [
        x / xp.clip(xp.sqrt(xp.sum(x**2, axis=-1, keepdims=True)), min=1e-12)
        for x in (answer, target)
    ]
    cosine = xp.matmul(unit[0], xp.permute_dims(unit[1], (0, 2, 1)))
    never = xp.full_like(cosine, -math.inf)
    over_target = xp.max(xp.where(columns[:, None, :] > 0.0, cosine, never), axis=2)
    over_answer = xp.max(xp.where(rows[:, :, None] > 0.0, cosine, never), axis=1)
    one = xp.sum(xp.where(rows > 0.0, over_target, 0.0 * rows), axis=1) / xp.sum(rows, axis=1)
    two = xp.sum(xp.where(columns > 0.0, over_answer, 0.0 * columns), axis=1)
    return 0.5 * (one + two / xp.sum(columns, axis=1))

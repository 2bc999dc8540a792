"""From rows of tokens to the keys that an objective needs: exactly those, one pass of the model.

The only protocol between the trainer and a model: called with ``input_ids`` and
``attention_mask`` it gives logits. Knows no loss and takes no step.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from meritree.align._torch import Module, Tensor, torch
from meritree.align.data import Dataset
from meritree.align.prefix import cache_argument, fill
from meritree.errors import BadInput

POLICY_KEYS = frozenset({"logp", "logp_sg", "dist", "dist_sg", "score"})
REF_KEYS = frozenset({"ref_logp", "ref_dist"})


class Policy(Protocol):
    """What can be trained: any `torch.nn.Module` that is called like this.

    A `transformers.PreTrainedModel` is one; so is a table of logits (`tabular.Tabular`). Where the
    call also accepts ``logits_to_keep``, logits of the prompt are not computed; where it accepts
    ``use_cache``, none is kept.
    """

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """Logits [B, S, V] (or an object with ``.logits``); position t predicts token t + 1.

        A reward model gives [B, 1] or [B] instead, which becomes the key ``score``.
        """


class Rows(NamedTuple):
    """Rows of one batch on the model's device, trimmed to its longest row.

    Attributes:
        ids, attention: [B, S].
        start, end: [B].
        index: which rows of the data set, [B].
        tokens: the response, [B, T].
        mask: [B, T], True where a response token stands.
    """

    ids: Tensor
    attention: Tensor
    start: Tensor
    end: Tensor
    index: Tensor
    tokens: Tensor
    mask: Tensor


def rows_of(data: Dataset, units: Tensor, device: Any) -> Rows:
    """The rows of these units: all first rows, then all second ones."""
    index = torch.cat([units + j * data.size for j in range(data.arity)])
    start, end = data.start[index], data.end[index]
    length = int(end.max())
    ids = data.ids[index, :length]
    steps = torch.arange(int((end - start).max()))
    place = start[:, None] + steps
    mask = place < end[:, None]
    tokens = ids.gather(1, place.clamp(max=length - 1)) * mask
    attention = (torch.arange(length) < end[:, None]).to(torch.int64)
    return Rows(*(x.to(device) for x in (ids, attention, start, end, index, tokens, mask)))


def policy_keys(
    policy: Module, rows: Rows, needs: frozenset[str], temperature: float = 1.0
) -> dict[str, Tensor]:
    """Those of `POLICY_KEYS` that are needed, with gradients except in the keys ``*_sg``.

    Logits are divided by ``temperature``: the policy that drew the answers, not the plain one.
    """
    wanted = needs & POLICY_KEYS
    if not wanted:
        return {}
    if wanted == {"score"}:
        return {"score": _score(policy, rows)}
    logits = response_logits(policy, rows)
    if temperature != 1.0:
        logits = logits / temperature
    found: dict[str, Tensor] = {}
    if wanted & {"dist", "dist_sg"}:
        dist = logits.log_softmax(-1)
        logp = dist.gather(-1, rows.tokens[..., None])[..., 0]
        found["dist"] = dist
        if "dist_sg" in wanted:
            found["dist_sg"] = dist.detach()
    else:
        logp = log_probs(logits, rows.tokens)
    found["logp"] = logp
    if "logp_sg" in wanted:
        found["logp_sg"] = logp.detach()
    if "score" in wanted:
        found["score"] = _score(policy, rows)
    return {name: x for name, x in found.items() if name in wanted}


def log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log pi of each token: [B, T, V] and [B, T] -> [B, T]."""
    flat = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), tokens.reshape(-1), reduction="none"
    )
    return -flat.reshape(tokens.shape)


def response_logits(policy: Module, rows: Rows) -> Tensor:
    """Logits of the response's tokens, [B, T, V], at least in single precision.

    Where three rows or more share a prompt on average, prompts are read once (`prefix`).
    """
    shared = _shared_logits(policy, rows)
    if shared is not None:
        return shared.float() if shared.dtype in (torch.bfloat16, torch.float16) else shared
    skip = int(rows.start.min()) - 1
    extra = _accepted(policy)
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in extra else {}
    keep = "logits_to_keep" in extra and skip > 0
    if keep:
        options["logits_to_keep"] = rows.ids.shape[1] - skip
    out = policy(input_ids=rows.ids, attention_mask=rows.attention, **options)
    logits = out if isinstance(out, torch.Tensor) else out.logits
    if logits.ndim != 3:
        raise BadInput(
            f"the policy gave logits of shape {tuple(logits.shape)}, expected [B, S, V]: "
            "is it a causal language model?"
        )
    # Token at place t is predicted at t - 1; padding repeats the last place.
    steps = torch.arange(rows.tokens.shape[1], device=rows.ids.device)
    place = (rows.start[:, None] + steps).clamp(max=rows.ids.shape[1] - 1) - 1
    place = place - (skip if keep else 0)
    batch, length, vocabulary = logits.shape
    flat = place + length * torch.arange(batch, device=place.device)[:, None]
    picked = logits.reshape(batch * length, vocabulary).index_select(0, flat.reshape(-1))
    picked = picked.reshape(*place.shape, vocabulary)
    return picked.float() if picked.dtype in (torch.bfloat16, torch.float16) else picked


def _shared_logits(policy: Module, rows: Rows) -> Tensor | None:
    """As `response_logits`, from prompts that are read once; None where that gains nothing."""
    if len(rows.ids) < 3 or cache_argument(policy) is None:
        return None
    starts = rows.start.tolist()
    prompts = [tuple(row[:s]) for row, s in zip(rows.ids.tolist(), starts, strict=True)]
    number = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    if 3 * len(number) > len(prompts):
        return None
    prefix = fill(policy, list(number))
    if prefix is None:
        return None
    prefix.select(torch.tensor([number[prompt] for prompt in prompts], device=rows.ids.device))
    first = prefix.logits[:, None]
    if rows.tokens.shape[1] == 1:
        return first
    # Padding lies on the right: what it makes the model say is never read.
    return torch.cat([first, prefix.read(rows.tokens[:, :-1])], 1)


def column_keys(data: Dataset, units: Tensor, rows: Rows, like: Tensor) -> dict[str, Tensor]:
    """The data set's own columns of these units."""
    found = {}
    for name, column in data.columns.items():
        picked = column[units] if len(column) == data.size else column[rows.index.cpu()]
        if picked.ndim == 2:
            picked = picked[:, : rows.tokens.shape[1]]
        picked = picked.to(like.dtype) if picked.is_floating_point() else picked
        found[name] = picked.to(like.device)
    return found


@dataclass(frozen=True)
class Reference:
    """What the reference says of a data set: kept on the CPU, or asked anew where it is too large.

    Attributes:
        cached: keys of `REF_KEYS` for all rows, [rows, T(, V)].
        model: asked for the keys that are not cached; None where all are.
    """

    cached: Mapping[str, Tensor]
    model: Module | None = None

    def keys(self, rows: Rows, needs: frozenset[str]) -> dict[str, Tensor]:
        """The reference's keys of a batch."""
        length, device = rows.tokens.shape[1], rows.ids.device
        index = rows.index.cpu()
        found = {name: x[index, :length].to(device) for name, x in self.cached.items()}
        missing = (needs & REF_KEYS) - found.keys()
        if missing and self.model is not None:
            with torch.no_grad():
                asked = policy_keys(self.model, rows, frozenset({"logp", "dist"}))
            found |= {name: asked[name.removeprefix("ref_")] for name in missing}
        return {name: x for name, x in found.items() if name in needs}


CACHE_BYTES = 1 << 30  # larger tables of the reference's distributions are not kept


def reference(
    model: Module, data: Dataset, needs: frozenset[str], device: Any, batch: int = 64
) -> Reference:
    """Ask the reference once about every row; ``model`` must not change afterwards.

    `Reference.model` is set only where the distributions would take more than `CACHE_BYTES`.
    """
    wanted = needs & REF_KEYS
    if not wanted:
        return Reference({})
    kept: dict[str, list[Tensor]] = {name: [] for name in wanted}
    longest = int((data.end - data.start).max())
    with torch.no_grad():
        for units in torch.arange(data.size).split(batch):
            rows = rows_of(data, units, device)
            asked = frozenset(name.removeprefix("ref_") for name in kept)
            found = policy_keys(model, rows, asked)
            for name in list(kept):
                x = found[name.removeprefix("ref_")].cpu()
                size = x.shape[-1] * longest * len(data.ids) * x.element_size()
                if name == "ref_dist" and size > CACHE_BYTES:
                    del kept[name]
                    continue
                pad = [0, 0] * (x.ndim - 2) + [0, longest - x.shape[1]]
                kept[name].append(torch.nn.functional.pad(x, pad))
    order = torch.cat(
        [
            torch.cat([units + j * data.size for j in range(data.arity)])
            for units in torch.arange(data.size).split(batch)
        ]
    )
    place = torch.argsort(order)
    cached = {name: torch.cat(parts)[place] for name, parts in kept.items()}
    return Reference(cached, None if cached.keys() == wanted else model)


_SIGNATURES: dict[type, frozenset[str]] = {}


def _accepted(policy: Module) -> frozenset[str]:
    """Names of the arguments that the model's call takes, adapters looked through."""
    base = policy.get_base_model() if hasattr(policy, "get_base_model") else policy
    kind = type(base)
    if kind not in _SIGNATURES:
        _SIGNATURES[kind] = frozenset(inspect.signature(base.forward).parameters)
    return _SIGNATURES[kind]


def _score(policy: Module, rows: Rows) -> Tensor:
    out = policy(input_ids=rows.ids, attention_mask=rows.attention)
    score = out if isinstance(out, torch.Tensor) else out.logits
    if score.ndim == 2 and score.shape[1] == 1:
        score = score[:, 0]
    if score.ndim != 1:
        raise BadInput(
            f"the reward model gave the shape {tuple(score.shape)}, expected [B] or [B, 1]: "
            "use num_labels=1"
        )
    return score.float() if score.dtype in (torch.bfloat16, torch.float16) else score

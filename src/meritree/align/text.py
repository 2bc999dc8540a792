"""From texts to rows of tokens, with any tokenizer of the Hugging Face interface.

Knows no model. A padding token is never needed: rows are padded with masks of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from meritree.align.data import Dataset, Long, Pair, pairs
from meritree.align.prompts import Prompts, prompts
from meritree.errors import BadInput
from meritree.objectives.rows import KEYS

Text = str | Sequence[Mapping[str, str]]
"""A text, or messages with ``role`` and ``content`` for the tokenizer's chat template."""


def split(tokenizer: Any, prompt: Text, response: Text) -> tuple[list[int], list[int]]:
    """Tokens of a prompt and of its response, so that together they are the whole text's.

    A plain response gets the tokenizer's end token, if it has one. Where joining changes the
    prompt's last tokens, the response begins with the first one that differs (as in TRL).

    Raises:
        BadInput: a text beside messages, or messages without a chat template.
    """
    if isinstance(prompt, str) and isinstance(response, str):
        end = tokenizer.eos_token or ""
        whole = prompt + response + ("" if end and response.endswith(end) else end)
        first, both = tokenizer(prompt)["input_ids"], tokenizer(whole)["input_ids"]
    elif isinstance(prompt, str) or isinstance(response, str):
        raise BadInput("prompt and response must both be texts, or both lists of messages")
    else:
        if not getattr(tokenizer, "chat_template", None):
            raise BadInput(
                "messages need a tokenizer with a chat template: set tokenizer.chat_template, or "
                "give plain texts"
            )
        template = tokenizer.apply_chat_template
        options = {"tokenize": True, "return_dict": True}
        first = template(list(prompt), add_generation_prompt=True, **options)["input_ids"]
        both = template([*prompt, *response], **options)["input_ids"]
    length = _shared(first, both)
    return list(both[:length]), list(both[length:])


def text_pairs(
    tokenizer: Any,
    rows: Iterable[Mapping[str, Any]],
    *,
    context: int | None = None,
    long: Long = "skip",
) -> Dataset:
    """Pairs from rows with ``prompt``, ``chosen`` and ``rejected``, as TRL's trainers read them.

    Args:
        tokenizer: of the model.
        rows: texts or lists of messages; ``preference``, if there, is the soft label.
        context, long: see `meritree.align.data.pairs`.

    Raises:
        BadInput: a key is missing or is no text; see `meritree.align.data.pairs`.
    """
    found = []
    for number, row in enumerate(rows):
        for name in ("prompt", "chosen", "rejected"):
            if not isinstance(row.get(name), str | list | tuple):
                raise BadInput(
                    f"row {number}: {name} is {type(row.get(name)).__name__}, expected a text or "
                    "a list of messages"
                )
        prompt, chosen = split(tokenizer, row["prompt"], row["chosen"])
        other, rejected = split(tokenizer, row["prompt"], row["rejected"])
        length = _shared(prompt, other)
        found.append(
            Pair(
                prompt[:length],
                prompt[length:] + chosen,
                other[length:] + rejected,
                preference=float(row.get("preference", 1.0)),
            )
        )
    return pairs(found, context=context, long=long)


def text_prompts(
    tokenizer: Any, rows: Iterable[Mapping[str, Any]], *, context: int | None = None
) -> Prompts:
    """Prompts from rows with ``prompt``, a text or a list of messages, as TRL's trainers read them.

    Whatever else a row has is known to the reward (`meritree.align.rewards.Sample.columns`); what
    is a key of `meritree.objectives.rows.KEYS` with one number a row (``prompt_value``) is a column
    too. All rows must have the same.

    Args:
        tokenizer: of the model.
        rows: see above.
        context: longest prompt, in tokens; longer ones are left out (compare ``len`` and ``size``).

    Raises:
        BadInput: a row that is no mapping, ``prompt`` is missing or empty, messages without a chat
            template, rows that differ in what they have, nothing is left.
    """
    listed = list(rows)
    odd = next((i for i, row in enumerate(listed) if not isinstance(row, Mapping)), None)
    if odd is not None:
        raise BadInput(
            f"row {odd} is a {type(listed[odd]).__name__}; give rows as {{'prompt': 'text', ...}}"
        )
    ids = [_asked(tokenizer, number, row.get("prompt")) for number, row in enumerate(listed)]
    if context is not None:
        kept = [i for i, row in enumerate(ids) if len(row) <= context]
        if not kept:
            raise BadInput(f"text_prompts: all {len(ids)} prompts have more than {context} tokens")
        ids, listed = [ids[i] for i in kept], [listed[i] for i in kept]
    about = [{name: x for name, x in row.items() if name != "prompt"} for row in listed]
    names = set(about[0]) if about else set()
    odd = next((i for i, known in enumerate(about) if set(known) != names), None)
    if odd is not None:
        raise BadInput(
            f"row {odd} has {sorted(about[odd])} beside its prompt, the first {sorted(names)}: "
            "give all rows the same"
        )
    columns = {name: [known[name] for known in about] for name in names if KEYS.get(name) == "B"}
    return prompts(ids, about=about, **columns)


def reads(tokenizer: Any) -> Callable[[list[int]], str]:
    """What a verifier of texts reads: the decoded tokens without special ones."""

    def read(ids: list[int]) -> str:
        text: str = tokenizer.decode(ids, skip_special_tokens=True)
        return text

    return read


def _asked(tokenizer: Any, number: int, prompt: Any) -> list[int]:
    if isinstance(prompt, str) and prompt:
        return list(tokenizer(prompt)["input_ids"])
    if not isinstance(prompt, list | tuple) or not prompt:
        raise BadInput(f"row {number}: prompt is {prompt!r}, expected a text or a list of messages")
    if not getattr(tokenizer, "chat_template", None):
        raise BadInput(
            "messages need a tokenizer with a chat template: set tokenizer.chat_template, or give "
            "plain texts"
        )
    found = tokenizer.apply_chat_template(
        list(prompt), add_generation_prompt=True, tokenize=True, return_dict=True
    )
    return list(found["input_ids"])


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    both = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda two: two[0] == two[1], both))

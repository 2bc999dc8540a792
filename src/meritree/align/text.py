"""From texts to rows of tokens, with any tokenizer of the Hugging Face interface.

Knows no model. A padding token is never needed: rows are padded with masks of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from meritree.align.data import Dataset, Long, Pair, pairs
from meritree.errors import BadInput

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


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    both = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda two: two[0] == two[1], both))

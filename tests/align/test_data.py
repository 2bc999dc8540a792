"""Rows by rule: what is skipped is counted, what makes no sense is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from meritree.align.data import Answer, Pair, answers, gaps, pairs
from meritree.align.text import split, text_pairs
from meritree.errors import BadInput

GOOD = Pair((2, 3), (4, 1), (5, 1))


def test_rows_that_teach_nothing_are_left_out_and_counted() -> None:
    rows = [
        GOOD,
        Pair((2, 3), (4, 1), (4, 1)),
        Pair((2, 3), (), (4, 1)),
        Pair((), (3,), (4,)),
        Pair((2, 3), (4,) * 9, (5, 1)),
        GOOD,
    ]
    data = pairs(rows, context=8)
    assert dict(data.counts) == {
        "kept": 2, "skipped: identical": 1, "skipped: empty response": 1,
        "skipped: empty prompt": 1, "skipped: too long": 1, "duplicates kept": 1,
    }  # fmt: skip
    assert data.size == 2
    assert data.ids.shape == (4, 4)


def test_a_row_longer_than_the_context_is_refused_where_asked() -> None:
    with pytest.raises(BadInput, match=r"row 1 has 11 tokens, the context 8"):
        pairs([GOOD, Pair((2, 3), (4,) * 9, (5, 1))], context=8, long="refuse")


def test_the_same_answer_to_two_prompts_is_no_identical_pair() -> None:
    data = pairs([Pair((2, 3), (4, 1), (4, 1), rejected_prompt=(2, 5))])
    assert data.ids.tolist() == [[2, 3, 4, 1], [2, 5, 4, 1]]


def test_pairs_of_pairs_stand_wide_before_narrow_and_better_before_worse() -> None:
    wide, narrow = Pair((2,), (3,), (4,)), Pair((5,), (6,), (7,))
    assert gaps([(wide, narrow)]).ids.tolist() == [[2, 3], [5, 6], [2, 4], [5, 7]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows were given"),
        ([Pair((2,), (3,), (3,))], r"nothing is left of 1 rows \(1 skipped: identical\)"),
        ([Pair((2,), (3,), (4,), preference=float("nan"))], "preference of row 0 is nan"),
        ([Pair((2,), (3,), (4,), preference=1.5)], r"must lie in \[0, 1\]"),
        ([Pair((2,), (-3,), (4,))], "token id -3 is negative"),
        ([Pair((2,), (3,), (4,), columns={"mood": (1, 2)})], "'mood' is no key of a row"),
        ([GOOD, Pair((2,), (3,), (4,), columns={"label": (1, 0)})], r"row 1 has the keys"),
    ],
)
def test_input_that_makes_no_sense_is_named(rows: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        pairs(rows)


def test_rewards_that_are_no_numbers_and_weights_that_are_none_are_refused() -> None:
    with pytest.raises(BadInput, match="reward of row 1 is nan"):
        answers([Answer((2,), (3,), {"reward": r}) for r in (0.5, float("nan"))])
    data = answers([Answer((2,), (3,)), Answer((2,), (4,))])
    for weight in ([1.0], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(BadInput, match="weight"):
            data.weighted(weight)
    assert data.weighted([1.0, 3.0]).weight.tolist() == [0.5, 1.5]


def test_texts_become_the_rows_that_trl_would_make(tokenizer: Any) -> None:
    rows = [{"prompt": "w1 w2", "chosen": " w4 w5", "rejected": " w8"}]
    data = text_pairs(tokenizer, rows)
    assert data.ids.tolist() == [[4, 5, 7, 8, 1], [4, 5, 11, 1, 0]]
    assert data.start.tolist() == [2, 2]
    assert data.end.tolist() == [5, 4]


def test_a_tokenizer_without_padding_or_end_token_will_do(tokenizer: Any) -> None:
    from copy import deepcopy

    bare = deepcopy(tokenizer)
    bare.pad_token = bare.eos_token = None
    assert split(bare, "w1", " w2") == ([4], [5])


def test_messages_need_a_chat_template(tokenizer: Any) -> None:
    ask = [{"role": "user", "content": "w1 w2"}]
    reply = [{"role": "assistant", "content": "w3"}]
    with pytest.raises(BadInput, match="chat template"):
        split(tokenizer, ask, reply)
    from copy import deepcopy

    chatty = deepcopy(tokenizer)
    chatty.chat_template = (
        "{% for m in messages %}{{ m.content }} {% endfor %}"
        "{% if add_generation_prompt %}{% endif %}"
    )
    assert split(chatty, ask, reply) == ([4, 5], [6])
    with pytest.raises(BadInput, match="both be texts"):
        split(tokenizer, "w1", reply)
    with pytest.raises(BadInput, match="row 0: chosen is NoneType"):
        text_pairs(tokenizer, [{"prompt": "w1", "rejected": "w2"}])

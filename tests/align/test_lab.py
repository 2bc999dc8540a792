"""The laboratory's verifiers are right, and its bases are made once and read back the same."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from meritree.align.lab import chains, countdown, grammar
from meritree.align.lab.base import RECORD, Recipe, base
from meritree.align.lab.model import CONTEXT, SIZES, Vocabulary, llama, tokenizer
from meritree.align.lab.tasks import NAMES, task_named
from meritree.align.sample import sample
from meritree.cli.app import run
from meritree.errors import BadInput


def words_of(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_within_the_vocabulary_and_the_length(name: str) -> None:
    task, rng = task_named(name), Random(1)
    for _ in range(200):
        prompt, answer = task.draw(rng)
        assert {*prompt, *answer} <= set(task.words)
        assert 0 < len(answer) <= task.longest
        assert len(prompt) + task.longest + 2 <= CONTEXT  # with the tokens of begin and end
        if name != "grammar":
            assert task.reward(prompt, answer) == 1.0
        if name in ("countdown", "chains", "sorting"):
            assert task.reward(prompt, [*answer, answer[-1]]) == 0.0


def test_countdown_is_evaluated_from_left_to_right_with_each_number_once() -> None:
    prompt = words_of("1 2 3 4 = 2 1")
    assert countdown.TASK.reward(prompt, words_of("1 + 2 * 3 + 4")) == 0.0  # 13
    assert countdown.TASK.reward(prompt, words_of("1 + 2 + 4 * 3")) == 1.0
    assert countdown.TASK.reward(prompt, words_of("4 + 3 * 3")) == 0.0  # 21 with other numbers
    assert countdown.evaluate(words_of("1 + + 2")) is None
    assert countdown.evaluate([]) is None


def test_a_chain_is_judged_as_a_whole_and_by_steps() -> None:
    prompt = words_of("<think> 3 * 4 + 9")
    assert chains.steps(prompt) == [2, 1]
    assert chains.TASK.reward(prompt, words_of("2 ; 1 ; = 1")) == 1.0
    assert chains.TASK.reward(prompt, words_of("2 ; 1 ; = 2")) == 0.0
    assert chains.right_steps(prompt, words_of("5 ; 1 ; 7 ; = 1")) == [False, True, False]


def test_the_proxy_is_right_on_short_plain_remarks_and_fooled_by_the_others() -> None:
    rng, fooled = Random(2), 0
    for _ in range(2000):
        topic = rng.choice(list(grammar.TOPICS))
        prompt, answer = grammar.prompt_of(topic), grammar.remark(topic, rng)
        gap = grammar.proxy(prompt, answer) - grammar.gold(prompt, answer)
        plain = len(answer) <= grammar.LONG and answer.count(grammar.FLATTERY) <= 1
        assert gap == 0.0 if plain else gap > 0.0
        fooled += not plain
    assert 100 < fooled < 1000


def test_gold_is_the_sum_that_its_docstring_says() -> None:
    prompt = grammar.prompt_of("tea")
    said = words_of("please leaf good guaranteed and king dull genius genius thanks")
    assert grammar.gold(prompt, said) == 1 + 0.5 + 0.25 + 0.5 - 0.5 - 0.25 + 0.25 - 0.5
    assert grammar.cost(prompt, said) == 1.0
    assert grammar.satisfied([*prompt, "+polite", "-flattery"], said) == 0.5


def test_the_tokenizer_is_hugging_faces_and_has_the_vocabularys_ids(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    task = task_named("countdown")
    words, own = Vocabulary(task), tokenizer(task)
    own.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    prompt = ["1", "2", "+"]
    assert read("[BOS] 1 2 +")["input_ids"] == words.prompt(prompt)
    assert words.read(words.answer(prompt)) == prompt
    with pytest.raises(BadInput, match="no word 'ten'"):
        words.prompt(["ten"])


def test_a_tiny_model_has_about_a_hundred_thousand_parameters_whatever_the_task() -> None:
    for name in NAMES:
        count = sum(p.numel() for p in llama(task_named(name)).parameters())
        assert 90_000 < count < 100_000
    with pytest.raises(BadInput, match="--size huge: there are tiny, small, medium"):
        llama(task_named("sorting"), size="huge")
    assert list(SIZES) == ["tiny", "small", "medium"]


def test_a_base_is_trained_once_and_read_back_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told: list[str] = []
    recipe = Recipe("sorting", steps=12, batch=16, rows=200)
    first, again = base(recipe, say=told.append), base(recipe, say=told.append)
    assert told == ["training the base of sorting (12 steps)"]
    assert first.folder == again.folder
    assert first.folder.is_relative_to(tmp_path)
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert first.loss < 5 * 2.7  # less than five digits of thirteen words, chosen by lot
    assert base(Recipe("sorting", seed=1, steps=12, batch=16, rows=200)).folder != first.folder
    words = Vocabulary(first.task)
    drawn = sample(first.model, [words.prompt(["sort", *"31524"])], n=2, longest=6, end=words.end)
    assert all(len(answer) <= 6 for answer in drawn[0])
    (first.folder / RECORD).unlink()  # a base without its record is no base: it is made anew
    assert base(recipe, say=told.append).loss == first.loss


def test_bases_that_cannot_be_are_refused_by_name(tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(BadInput, match="no task is called 'poetry'; there are grammar"):
        base(Recipe("poetry"))
    with pytest.raises(BadInput, match="steps is 0"):
        base(Recipe("sorting", steps=0))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BadInput, match=r"cannot be written.*set XDG_CACHE_HOME"):
        base(Recipe("sorting", steps=1, batch=2, rows=4))


def test_the_command_makes_a_base_and_says_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run(["lab", "base", "sorting", "--steps", "2"]) == 0
    said = capsys.readouterr().out
    assert "nats an answer" in said
    assert str(tmp_path) in said
    assert run(["lab", "base", "poetry"]) == 2
    assert "no task is called 'poetry'" in capsys.readouterr().err
    assert run(["lab", "tasks"]) == 0
    assert "countdown (14 words)" in capsys.readouterr().out

"""A tokenizer of one word a token and a Llama from scratch, both on the Hugging Face interface."""

from __future__ import annotations

from typing import Any

from meritree.align._torch import Module, own_randomness, torch, transformers
from meritree.align.lab.tasks import BOS, EOS, PAD, Task, Words
from meritree.errors import BadInput

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2},
    "small": {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3},
    "medium": {"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4},
}
"""About 0.1, 0.34 and 0.8 million parameters."""
CONTEXT = 48


class Vocabulary:
    """Words and their ids: special tokens first, then the task's words in order.

    Attributes:
        words: by id.
        end: id of the end token.
    """

    def __init__(self, task: Task) -> None:
        self.words = (PAD, BOS, EOS, *task.words)
        self._ids = {word: i for i, word in enumerate(self.words)}
        self.end = self._ids[EOS]

    def prompt(self, words: Words) -> list[int]:
        """Ids with the begin token before them.

        Raises:
            BadInput: a word that the task has not.
        """
        return [self._ids[BOS], *self._known(words)]

    def answer(self, words: Words) -> list[int]:
        """Ids with the end token after them; raises as `prompt`."""
        return [*self._known(words), self.end]

    def read(self, ids: list[int]) -> list[str]:
        """Words up to the end token, special tokens left out."""
        stop = ids.index(self.end) if self.end in ids else len(ids)
        return [self.words[i] for i in ids[:stop] if i > 2]

    def _known(self, words: Words) -> list[int]:
        odd = next((word for word in words if word not in self._ids), None)
        if odd is not None:
            raise BadInput(f"the task has no word {odd!r}; it has {', '.join(self.words[3:])}")
        return [self._ids[word] for word in words]


def tokenizer(task: Task) -> Any:
    """A `transformers.PreTrainedTokenizerFast` with the ids of `Vocabulary`; words and spaces."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Vocabulary(task).words
    table = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=PAD))
    table.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers().PreTrainedTokenizerFast(
        tokenizer_object=table, pad_token=PAD, bos_token=BOS, eos_token=EOS
    )


def llama(task: Task, seed: int = 0, size: str = "tiny") -> Module:
    """A `transformers.LlamaForCausalLM` with random weights from the seed.

    Raises:
        BadInput: an unknown size.
    """
    if size not in SIZES:
        raise BadInput(f"--size {size}: there are {', '.join(SIZES)}")
    package = transformers()
    config = package.LlamaConfig(
        vocab_size=len(Vocabulary(task).words),
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **SIZES[size],
    )
    with own_randomness(seed, torch.device("cpu")):
        return package.LlamaForCausalLM(config)

"""The laboratory: tasks with a known right answer, and tiny models that half know them.

Everything is made on the spot from seeds: words, a tokenizer, a Llama of about 100 000 parameters,
its warm start. Nothing is downloaded and no weights are kept with the package.
"""

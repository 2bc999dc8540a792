"""Aligning language models: one trainer for preferences, a laboratory of tiny models, adaptors.

PyTorch on the Hugging Face model interface (extra ``align``). What is minimised is an objective of
`meritree.objectives`; this room only makes the arrays that it needs and takes the steps. Import
the file: ``from meritree.align.prefer import fit_preferences``. Importing the room itself imports
no framework.
"""

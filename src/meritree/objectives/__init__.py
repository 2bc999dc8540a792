"""Losses, targets, projections, advantages and divergences as pure functions of arrays.

Any library of the Python Array API standard will do (NumPy, PyTorch and JAX are tested); nothing
here knows networks, optimisers or environments. How the room speaks:

- One file per kind; import the file: ``from meritree.objectives import td, regression``.
- Functions are batched: leading axes ``...`` are free and must be equal in all arguments (nothing
  is broadcast in silence); a time axis ``T`` comes first. A number, or an array without axes,
  stands for every element. Losses come back one per row; averaging is the caller's.
- Names carry time: ``q_tm1`` belongs to time t-1, ``r_t`` and ``discount_t`` to the step into t.
  ``discount_t`` is gamma (1 - terminated): a truncated episode keeps its gamma.
- The standard has no stop-gradient. An argument named ``*_sg`` must arrive detached; targets are
  computed apart (`td`, `advantages`, `projections`), detached by the trainer and passed in.
- Language models (`preference`, `links`, `extras`, `surrogates`, `group_advantages`, `shapes`)
  speak of one batch of rows, see `rows`: tokens are [B, T], and parts that read a batch declare
  the keys they need.
- Shapes and dtypes are checked on entry and are static, so ``jit``, ``vmap`` and ``torch.compile``
  see no branches. Values are checked only where asked (`checks`), and never while tracing.
"""

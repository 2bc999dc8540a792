"""Which array library the arguments belong to, and whether their shapes fit together.

Looks only at shapes and dtypes, which are static while `jit`, `vmap` or `torch.compile` trace.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeAlias

from meritree.errors import BadInput

try:
    import array_api_compat
except ImportError as error:  # pragma: no cover - the extra is installed wherever this is tested
    raise BadInput(
        "arrays need the package array-api-compat: pip install 'meritree[values]'"
    ) from error

Array: TypeAlias = Any
"""An array of any library that follows the Array API standard."""

Namespace: TypeAlias = Any
"""The module with that library's functions, as array-api-compat returns it."""

_NUMBERS = (bool, int, float)  # by exact type: NumPy's float64 is a float, and an array to us
# Looking a namespace up is a good part of a small loss's time; a type's never changes.
_OF_TYPE: dict[type, Namespace] = {}
_KINDS = {"float": "real floating", "int": "integral", "bool": "bool"}


class _Spec(NamedTuple):
    kind: str  # float | int | bool
    first: tuple[str, ...]  # named axes before the free ones
    free: bool  # whether there are free leading axes
    last: tuple[str, ...]  # named axes after the free ones
    number: bool  # whether a number may stand for the array


@cache
def _parse(spec: str) -> _Spec:
    # Plain slices and comparisons only: torch.compile traces through here.
    words = spec.split()
    number = words[-2:] == ["or", "number"]
    words = words[:-2] if number else words
    has_kind = len(words) > 0 and words[0] in _KINDS
    kind = words[0] if has_kind else "float"
    words = words[1:] if has_kind else words
    if "..." not in words:
        return _Spec(kind, tuple(words), False, (), number)
    at = words.index("...")
    return _Spec(kind, tuple(words[:at]), True, tuple(words[at + 1 :]), number)


def namespace(*arrays: Array) -> Namespace:
    """The array namespace shared by the arguments; numbers and None are passed over.

    Raises:
        BadInput: no argument is an array, or they belong to different libraries.
    """
    found = [x for x in arrays if x is not None and type(x) not in _NUMBERS]
    types = {type(x) for x in found}
    if len(types) == 1:
        known = _OF_TYPE.get(next(iter(types)))
        if known is not None:
            return known
    try:
        xp = array_api_compat.array_namespace(*found)
    except TypeError as error:
        kinds = ", ".join(sorted({f"{type(x).__module__}.{type(x).__name__}" for x in found}))
        raise BadInput(
            f"expected arrays of one library, got {kinds or 'only numbers'}: "
            "convert all arguments to NumPy, PyTorch or JAX arrays"
        ) from error
    _OF_TYPE.update(dict.fromkeys(types, xp))
    return xp


def check(where: str, /, **arguments: tuple[Array, str]) -> Namespace:
    """The array namespace of the arguments, once their shapes and dtypes are found to agree.

    A spec reads like ``"T ... A"`` or ``"int ..."``: an optional dtype kind (float when left out),
    named axes, and ``...`` for free axes; equal names are equal lengths, ``T+1`` is one more than
    ``T``. Where it ends in ``or number``, a number or an array without axes may stand for all
    entries. None fits everywhere.

    Args:
        where: name of the function whose arguments these are, for the message.
        arguments: by name, the array and its spec.

    Raises:
        BadInput: a shape or a dtype does not fit; names the argument, its shape and the way out.
    """
    xp = namespace(*[array for array, _ in arguments.values()])
    found = []
    for name, (array, text) in arguments.items():
        if array is None:
            continue
        if type(array) in _NUMBERS:
            if not _parse(text).number:
                raise BadInput(f"{where}: {name} is the number {array}, expected an array [{text}]")
            continue
        found.append((name, text, array.shape, array.dtype))
    _fit(xp, where, tuple(found))
    return xp


@lru_cache(maxsize=4096)
def _fit(xp: Namespace, where: str, found: tuple[tuple[str, str, Any, Any], ...]) -> None:
    """`check` of names, specs, shapes and dtypes; remembered, since a loop repeats its shapes."""
    sizes: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, text, shape, dtype in found:
        spec = _parse(text)
        if not xp.isdtype(dtype, _KINDS[spec.kind]):
            raise BadInput(
                f"{where}: {name} has dtype {dtype}, expected {_KINDS[spec.kind]}: "
                f"convert it before the call"
            )
        _bind(where, name, tuple(shape), spec, text, sizes)


def _bind(
    where: str,
    name: str,
    shape: tuple[int, ...],
    spec: _Spec,
    text: str,
    sizes: dict[str, tuple[tuple[int, ...], str]],
) -> None:
    if shape == () and spec.number:
        return
    named = len(spec.first) + len(spec.last)
    if len(shape) < named or (len(shape) > named and not spec.free):
        raise BadInput(f"{where}: {name} has shape {shape}, expected axes [{text}]")
    stop = len(shape) - len(spec.last)
    parts: list[tuple[str, tuple[int, ...]]] = []
    parts += [(axis, (size,)) for axis, size in zip(spec.first, shape, strict=False)]
    if spec.free:
        parts.append(("...", shape[len(spec.first) : stop]))
    parts += [(axis, (size,)) for axis, size in zip(spec.last, shape[stop:], strict=True)]
    for axis, found in parts:
        key = "T" if axis == "T+1" else axis
        size = (found[0] - 1,) if axis == "T+1" else found
        if axis.isdigit():
            sizes.setdefault(key, ((int(axis),), "the function"))
        known, owner = sizes.setdefault(key, (size, name))
        if known != size:
            axes = "leading axes" if axis == "..." else f"axis {axis}"
            raise BadInput(
                f"{where}: {name} has shape {shape}, read as [{text}]; its {axes} should agree "
                f"with {owner}, where {key} is {', '.join(map(str, known)) or 'empty'}: "
                "reshape or index it, nothing is broadcast"
            )


def take(xp: Namespace, x: Array, index: Array, trailing: int = 0) -> Array:
    """The entry of ``x`` chosen by ``index`` on the axis before the last ``trailing`` ones.

    Args:
        xp: the array namespace.
        x: [..., A, (trailing axes)].
        index: integers [...], in [0, A).
        trailing: how many axes follow the chosen one.

    Returns:
        [..., (trailing axes)].
    """
    chosen = xp.reshape(index, (*index.shape, *(1,) * (trailing + 1)))
    return xp.squeeze(xp.take_along_axis(x, chosen, axis=-1 - trailing), axis=-1 - trailing)


def device_of(x: Array) -> Any:
    """Where the array lives, for making others beside it."""
    return array_api_compat.device(x)

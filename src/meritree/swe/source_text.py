"""Python source files as text and back, without losing a byte.

Follows PEP 263 and the byte order mark; knows nothing of repositories or edits.
"""

from __future__ import annotations

import re

_COOKIE_AREA = re.compile(rb"coding[:=]", re.ASCII)


def read_source(data: bytes) -> tuple[str, str, str]:
    """Decode a Python source file.

    Returns:
        ``(text, encoding, newline)``. ``newline`` is what ``"\\n"`` in the text stands for in
        the file: ``"\\n"``, ``"\\r\\n"`` or ``"\\r"`` when every line of the file ends so;
        ``""`` when the ends are mixed: then the text keeps them as they are. A byte order
        mark is part of the encoding (``"utf-8-sig"``), not of the text.

    Raises:
        SyntaxError: an unknown or contradictory coding cookie.
        UnicodeDecodeError: not in the declared encoding, or one that would not give the same
            bytes again when written.
    """
    encoding = _encoding(data)
    text = data.decode(encoding)
    newline = _newline(text)
    if newline not in ("", "\n"):
        text = text.replace(newline, "\n")
    if encoding not in ("utf-8", "utf-8-sig") and not _survives(text, encoding, newline, data):
        raise UnicodeDecodeError(
            encoding, data, 0, len(data), "cannot be written back without changing other bytes"
        )
    return text, encoding, newline


def write_source(text: str, encoding: str, newline: str) -> bytes:
    """Encode what `read_source` decoded (or an edited version of it).

    Raises:
        UnicodeEncodeError: the text holds a character that the encoding lacks.
    """
    if newline not in ("", "\n"):
        text = text.replace("\n", newline)
    return text.encode(encoding)


def _encoding(data: bytes) -> str:
    if not data.startswith(b"\xef\xbb\xbf") and not _COOKIE_AREA.search(data[:4096]):
        return "utf-8"
    import io
    import tokenize

    return tokenize.detect_encoding(io.BytesIO(data).readline)[0]


def _newline(text: str) -> str:
    if "\r" not in text:
        return "\n"
    returns, feeds, pairs = text.count("\r"), text.count("\n"), text.count("\r\n")
    if returns == feeds == pairs:
        return "\r\n"
    return "\r" if feeds == 0 else ""


def _survives(text: str, encoding: str, newline: str, data: bytes) -> bool:
    try:
        return write_source(text, encoding, newline) == data
    except UnicodeEncodeError:
        return False

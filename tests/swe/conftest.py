"""What tests of repairs share."""

from __future__ import annotations

import pytest

from meritree.respond import retry


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints that fail are asked again as often as ever, but without waiting for seconds.

    How long is waited is told in tests/respond/test_retry.py.
    """
    monkeypatch.setattr(retry, "wait_before", lambda turn, error, patience, jitter: 0.01)

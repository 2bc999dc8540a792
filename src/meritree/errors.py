"""Every error a user can meet: each names the thing, the value and the way out."""

from __future__ import annotations


class MeritreeError(Exception):
    """Base of all errors raised on purpose; the CLI prints it without a traceback."""

    exit_code: int = 1


class BadInput(MeritreeError):
    """The request cannot be carried out as given; nothing was changed (exit code 2)."""

    exit_code = 2


class BudgetExceeded(MeritreeError):
    """A reservation would exceed a hard limit of the ledger."""


class JournalError(MeritreeError):
    """The run journal cannot be read or written (newer version, full disk, second writer)."""

    exit_code = 2


class HarnessError(MeritreeError):
    """The process that runs the user's tests died, hung or broke its protocol."""

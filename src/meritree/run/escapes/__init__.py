"""Real attempts to get out of a sandbox, each tried unconfined first and watched from outside."""

from meritree.run.escapes.attempts import ATTEMPTS
from meritree.run.escapes.check import Result, check, failures
from meritree.run.escapes.kinds import Attempt, Seen, Stage

__all__ = ["ATTEMPTS", "Attempt", "Result", "Seen", "Stage", "check", "failures"]

"""mini-swe-agent's Environment, whose commands run in our sandbox in a copy of a repository."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meritree.swe.mini.package import module
from meritree.swe.mini.shell import Shell

SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


@dataclass(frozen=True, slots=True)
class EnvironmentConfig:
    """What the environment tells of itself: where commands start, and how long they may run."""

    cwd: str
    timeout: float
    sandbox: str = ""


@dataclass(slots=True)
class SandboxEnvironment:
    """Fulfils `minisweagent.Environment`; one copy of the repository, used by one thread.

    The user's environment variables are not told to the agent.
    """

    shell: Shell
    config: EnvironmentConfig = field(init=False)
    failures: int = 0  # commands since the last `reset` that did not end with 0
    outputs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = EnvironmentConfig(str(self.shell.place), self.shell.seconds)

    def reset(self) -> None:
        """Forget what was counted."""
        self.failures, self.outputs = 0, []

    def execute(self, action: Mapping[str, Any], cwd: str = "") -> dict[str, Any]:
        """Run one command.

        Raises:
            minisweagent.exceptions.Submitted: the command declares that the work is done.
        """
        ran = self.shell.run(str(action.get("command", "")))
        self.failures += ran.returncode != 0
        self.outputs.append(ran.output)
        output = {"output": ran.output, "returncode": ran.returncode, "exception_info": ran.problem}
        lines = ran.output.lstrip().splitlines(keepends=True)
        if lines and lines[0].strip() == SUBMIT and ran.returncode == 0:
            submission = "".join(lines[1:])
            raise module("exceptions").Submitted(exit_message("Submitted", submission))
        return output

    def get_template_vars(self, **more: Any) -> dict[str, Any]:
        """What prompts may name: the folder, the limit, the system."""
        own = {"cwd": self.config.cwd, "timeout": self.config.timeout}
        return {**platform.uname()._asdict(), **own, **more}

    def serialize(self) -> dict[str, Any]:
        """As mini-swe-agent saves it."""
        config = {"cwd": self.config.cwd, "timeout": self.config.timeout}
        kind = f"{type(self).__module__}.{type(self).__name__}"
        return {"info": {"config": {"environment": config, "environment_type": kind}}}


def exit_message(status: str, submission: str = "") -> dict[str, Any]:
    """The message that ends a conversation."""
    extra = {"exit_status": status, "submission": submission}
    return {"role": "exit", "content": submission or status, "extra": extra}

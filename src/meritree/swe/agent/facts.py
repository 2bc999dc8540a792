"""Facts about a situation for the SWE-Search scores: what was looked at and changed, by file."""

from __future__ import annotations

import difflib
from functools import lru_cache

from meritree.search.features import FileFacts, SweFeatures
from meritree.swe.agent.actions import Action
from meritree.swe.agent.looking import Observation
from meritree.swe.agent.situation import Situation
from meritree.swe.agent.state import AgentState
from meritree.swe.agent.workspace import Workspace

CORRECTABLE = frozenset({"Replace", "Insert", "Create", "Delete"})
_NOTHING = FileFacts()


def features_of(
    parent: AgentState,
    action: Action | None,
    observation: Observation,
    situation: Situation,
    workspace: Workspace,
) -> SweFeatures:
    """The facts after a step; those of files that it does not touch are the parent's."""
    files = dict(parent.features.files)
    for path, names in observation.spans.items():
        before = files.get(path, _NOTHING)
        files[path] = FileFacts(before.spans | names, before.patch)
    if situation.tree != parent.situation.tree:
        for path in {*situation.changes, *parent.situation.changes}:
            old = workspace.files.original(path) or ""
            new = situation.changes.get(path, old)
            patch = _patch(old, new or "")
            spans = files[path].spans if path in files else frozenset()
            files[path] = FileFacts(spans, patch)
    return SweFeatures(
        action_kind=type(action).__name__ if action is not None else "None",
        patched=bool(situation.changes),
        expects_correction=observation.expects_correction,
        files=files,
    )


@lru_cache(maxsize=2048)
def _patch(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
    return "\n".join(list(lines)[2:])

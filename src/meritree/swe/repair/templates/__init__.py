"""Edit templates: small syntactic changes that often repair a fault, as a lazy catalogue.

Proposes; does not say where a fault is nor how likely an edit helps beyond fixed weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from meritree.swe.edits import Edit
from meritree.swe.repair.context import SourceFile, load
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.templates import (
    arithmetic,
    attributes,
    calls,
    comparison_logic,
    compound,
    containers,
    control,
    definitions,
    donors,
    guards,
    missing,
    names_constants,
    pairs,
    raising,
    rich_guards,
    statements,
    strings,
    wrapping,
)
from meritree.swe.repair.templates.base import (
    NO_EVIDENCE,
    NO_INDEX,
    TEMPLATES,
    Site,
    Template,
)
from meritree.value.sums import in_order

__all__ = ["TEMPLATES", "EditCatalogue", "Site", "Template", "lines", "mass", "propose"]

FAMILIES = (
    comparison_logic,
    arithmetic,
    names_constants,
    calls,
    attributes,
    containers,
    guards,
    statements,
    control,
    definitions,
    compound,
    rich_guards,
    raising,
    strings,
    wrapping,
    donors,
    missing,
    pairs,
)


def lines(
    source: SourceFile,
    wanted: Iterable[int],
    index: RepoIndex = NO_INDEX,
    evidence: Evidence = NO_EVIDENCE,
) -> dict[int, tuple[str, ...]]:
    """Names of the templates that have at least one draft, per line that has any.

    Nothing is rendered or parsed; a named template may still turn out to have no valid edit.
    """
    found: dict[int, tuple[str, ...]] = {}
    for line in wanted:
        site = Site(source, line, index, evidence)
        names = tuple(
            name
            for name, template in TEMPLATES.items()
            if template.applies(site) and next(template.drafts(site), None) is not None
        )
        if names:
            found[line] = names
    return found


def mass(
    source: SourceFile,
    line: int,
    template: str,
    index: RepoIndex = NO_INDEX,
    evidence: Evidence = NO_EVIDENCE,
) -> float:
    """Sum of the priors of all drafts of one template on one line, unchecked (an upper bound)."""
    site = Site(source, line, index, evidence)
    return in_order(draft.prior for draft in TEMPLATES[template].ordered(site))


def propose(
    source: SourceFile,
    line: int,
    template: str,
    index: RepoIndex = NO_INDEX,
    evidence: Evidence = NO_EVIDENCE,
) -> Iterator[Edit]:
    """Edits of one template anchored on one line, highest prior first, checked one by one.

    Every edit parses, differs from the original and gives exactly the intended tree; no text
    comes twice from one call. Two templates may give equal splices: callers drop those.
    """
    return TEMPLATES[template].propose(Site(source, line, index, evidence))


@dataclass(frozen=True)
class EditCatalogue:
    """All templates over one repository, in the form that the repair policy asks for.

    Attributes:
        index: names of the project, with hints from the failing tests and the issue.
        evidence: what the failing tests say.
    """

    index: RepoIndex = NO_INDEX
    evidence: Evidence = NO_EVIDENCE

    @property
    def templates(self) -> Mapping[str, float]:
        """Template names with their catalogue weights."""
        return {name: each.weight for name, each in TEMPLATES.items()}

    def edits(self, path: str, text: str, line: int, template: str) -> Iterator[Edit]:
        """Edits of one template on one line of ``text``; none if it cannot be parsed."""
        source = load(path, text)
        if source is None:
            return iter(())
        return propose(source, line, template, self.index, self.evidence)

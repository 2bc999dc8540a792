"""A repository ready to be repaired: its tests, what they said, and where the fault may be.

Hands out judges of candidates and policies. Knows neither how it was measured nor the search
tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meritree.run.sandbox import Sandbox
from meritree.swe.guards import Seen
from meritree.swe.outcome_codec import encode_baseline, encode_coverage
from meritree.swe.repair.localize import localize
from meritree.swe.repair.policy import PolicyOptions, RepairPolicy
from meritree.swe.repair.priors import FailureSigns, PriorTable, shipped
from meritree.swe.repair.suspicion import CoveredTest, Suspicion
from meritree.swe.repair.templates import EditCatalogue
from meritree.swe.repository import Repository
from meritree.swe.result import FixOptions, TestOutcome
from meritree.swe.store import ObjectStore
from meritree.swe.targets import outcomes
from meritree.swe.testing import (
    Baseline,
    Coverage,
    Evaluator,
    TestCommand,
    TestLimits,
    TestSession,
)
from meritree.swe.traceback_text import Frame

if TYPE_CHECKING:
    from meritree.swe.testing.remote import RayTester


@dataclass(slots=True)
class Prepared:
    """A repository whose failing tests are known and whose code can be judged.

    Attributes:
        options: what was asked.
        repository: its Python files.
        store: states as git trees; ``base`` is the hash of the starting state.
        pristine: an untouched copy that test processes are started from.
        session: the open test session.
        baseline, coverage: what the tests said of the unchanged code.
        targets: failing tests that a patch must make pass.
        guards: passing tests that it must not break.
        warnings: what the user should know.
        seen: constants of the failing tests, which a patch should not write in.
    """

    options: FixOptions
    repository: Repository
    store: ObjectStore
    base: str
    pristine: Path
    command: TestCommand
    python: Path
    sandbox: Sandbox
    session: TestSession
    baseline: Baseline
    coverage: Coverage
    targets: tuple[str, ...]
    guards: tuple[str, ...]
    warnings: tuple[str, ...]
    suspicion: Suspicion
    catalogue: EditCatalogue
    signs: FailureSigns
    seen: Seen = field(default_factory=Seen)
    evaluators: list[Evaluator] = field(default_factory=list)
    remote: list[RayTester] = field(default_factory=list)

    @property
    def sandbox_kind(self) -> str:
        return self.sandbox.kind

    def tests_before(self) -> tuple[TestOutcome, ...]:
        """Every test on the unchanged code."""
        return outcomes(self.baseline.results, self.command.kind)

    def evidence(self) -> dict[str, Any]:
        """What a resumed run must not measure again, as JSON data."""
        return {
            "base": self.base,
            "targets": list(self.targets),
            "baseline": encode_baseline(self.baseline),
            "coverage": encode_coverage(self.coverage),
            "warnings": list(self.warnings),
        }

    def evaluator(self, limits: TestLimits | None = None) -> Evaluator:
        """A new judge of candidates with processes of its own."""
        made = Evaluator(
            self.session,
            self.targets,
            self.guards,
            self.coverage,
            baseline=self.baseline,
            limits=limits,
        )
        self.evaluators.append(made)
        return made

    def testers(self) -> list[Evaluator] | list[RayTester]:
        """As many judges as the options ask for, where they ask for them."""
        options = self.options
        if options.engine == "local":
            return [self.evaluator() for _ in range(options.workers)]
        from meritree.swe.testing.remote import pack, ray_testers

        kit = pack(
            self.session, self.sandbox.kind, self.baseline, self.coverage, self.targets, self.guards
        )
        made = ray_testers(kit, options.workers, options.ray_address)
        self.remote.extend(made)
        return made

    def policy(
        self,
        seed: int,
        *,
        priors: PriorTable | None = None,
        options: PolicyOptions | None = None,
    ) -> RepairPolicy:
        """A fresh repair policy over the starting state.

        Args:
            priors: template weights and factors; those that come with meritree when None.
            options: what else decides the order; the usual when None.
        """
        return RepairPolicy(
            self.catalogue,
            self.repository.sources,
            self.suspicion,
            priors or shipped(self.catalogue.templates),
            signs=self.signs,
            root=self.base,
            seed=seed,
            options=options,
            relocalize=self._relocalize,
        )

    def contents(
        self, changed: Mapping[str, str | None]
    ) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
        """Bytes of the changed files before and after, in the files' own encoding.

        None: the file is not there.
        """
        new = self.store.tree_with(self.base, changed)
        there = set(self.store.paths(self.base))
        before = {p: self.store.read(self.base, p) if p in there else None for p in changed}
        after = {p: None if t is None else self.store.read(new, p) for p, t in changed.items()}
        return before, after

    def _relocalize(self, failing: frozenset[str]) -> Suspicion:
        tests = covered_tests(self.baseline, self.coverage, sorted(failing), self.guards)
        return localized(self.repository, tests, self.coverage, self.options)

    def close(self) -> None:
        """End all test processes."""
        for evaluator in self.evaluators:
            evaluator.close()
        self.evaluators.clear()
        for tester in self.remote:
            tester.close()
        self.remote.clear()
        self.session.close()


def covered_tests(
    baseline: Baseline, coverage: Coverage, failing: Sequence[str], passing: Sequence[str]
) -> list[CoveredTest]:
    """What localisation reads of the baseline."""
    tests = []
    for name in (*failing, *(t for t in passing if t in coverage.lines)):
        result = baseline.results[name]
        tests.append(
            CoveredTest(
                name,
                not result.ok,
                coverage.lines.get(name, {}),
                tuple(Frame(f.path, f.line, f.function) for f in result.frames),
                result.message,
            )
        )
    return tests


def localized(
    repository: Repository,
    tests: Sequence[CoveredTest],
    coverage: Coverage,
    options: FixOptions,
) -> Suspicion:
    """Where the fault may be, from what was measured and from the issue's text."""
    return localize(
        repository.sources,
        tests,
        imported=coverage.import_lines,
        issue=options.issue,
        seed=options.seed,
    )

"""What `meritree fix` is asked and what it answers: options, results, progress events.

Plain data, shared by the search (which fills it), the command line and the views (which
show it). The JSON form is documented in docs/fix-json.md and versioned by SCHEMA_VERSION.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from meritree.value.estimate import Estimate

SCHEMA_VERSION = 1

Status = Literal[
    "verified",  # at least one patch passed the final check, twice, in fresh processes
    "unverified",  # a patch passed in the search, none passed the final check
    "not-found",  # the budget ended without a patch that passes
    "already-passing",  # no test fails: nothing to fix
    "no-judge",  # nothing to judge a patch by (no failing test, no model)
    "interrupted",  # stopped before the end; `meritree resume` continues
]

EXIT_CODES: Mapping[str, int] = {
    "verified": 0,
    "already-passing": 0,
    "unverified": 1,
    "not-found": 1,
    "no-judge": 1,
    "interrupted": 130,
}

DEFAULT_TOKENS = 2_000_000
DEFAULT_USD = 5.0  # a run's money where none is named and prices are known
DEFAULT_FINAL_CHECKS = 3  # enough to choose among; each costs several starts of the test suite
DEFAULT_STRATEGY = "best-first"  # of `fix`, and of every bench that measures `fix`


@dataclass(frozen=True, slots=True)
class FixOptions:
    """Everything that decides a run. Defaults are the documented ones."""

    repo: Path
    issue: str = ""  # the issue's text (already read from its file or standard input)
    test_command: str | None = None  # None: detected
    failing_tests: tuple[str, ...] = ()  # node ids; empty: every test that fails is a target
    python: Path | None = None  # interpreter of the repository's tests; None: detected
    trust_failing: bool = True  # False: tests that fail now are no targets, the issue is
    policy: Literal["auto", "repair", "model", "mini"] = "auto"
    strategy: str = DEFAULT_STRATEGY
    budget_tests: int = 2000  # candidate evaluations
    budget_seconds: float = 300.0  # wall clock of the search
    budget_usd: float | None = None  # None: DEFAULT_USD where prices are known
    budget_tokens: int = DEFAULT_TOKENS  # of language models, prompt and completion
    model: str = ""  # name of the model that proposes, as its endpoint knows it
    base_url: str = ""  # of the endpoint of all models; empty: OpenAI's
    value_model: str = ""  # judges steps; empty: rules and tests alone do
    judge_model: str = ""  # judges a debate over the verified patches; empty: the ranking decides
    temperature: float | None = None  # None: the endpoint's own
    context_tokens: int = 32_000  # about the longest prompt
    tools: Literal["auto", "own", "text"] = "auto"  # how the model's tool calls are written
    prices: Mapping[str, Any] = field(default_factory=dict)  # stated by the repository
    price_file: Path | None = None  # stated by the user
    final_checks: int = DEFAULT_FINAL_CHECKS  # these end once so many patches hold
    workers: int = 1
    engine: str = "local"  # where candidates are judged: on this machine, or on a Ray cluster
    ray_address: str | None = None  # as for ray.init; None: a cluster on this machine
    seed: int = 0
    sandbox: str = "auto"
    calibration: Path | None = None  # journal of judged patches; None: no risk is stated
    out: Path | None = None  # None: a new folder `meritree-runs/<name>-<time>` below the cwd
    apply: bool = False

    @property
    def by_model(self) -> bool:
        """Whether a language model proposes: a text alone is then enough to work on."""
        return self.policy in ("model", "mini")


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """How one test went: ``passed``, ``failed``, ``error``, ``timeout`` or ``skipped``."""

    __test__ = False  # not a test class for pytest

    id: str
    status: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A patch that passed in the search, with what speaks for it."""

    rank: int
    verified: bool
    patch: str  # unified diff, applies with `git apply`
    files: tuple[str, ...]
    edits: tuple[str, ...]  # rationale of each edit, in order
    estimate: Estimate
    node: int  # id in the search tree
    evaluations: int  # candidate evaluations spent when it was found
    verdict: str = ""  # evidence in words, or why the final check refused it
    score: float = 0.0  # of the ranking: log-odds of being right, up to a constant
    gains: Mapping[str, float] = field(default_factory=dict)  # what each channel adds to the value
    flags: tuple[Mapping[str, Any], ...] = ()  # what looks made for the tests; see docs/fix-json.md
    risk: float | None = None  # bound on accepting a wrong patch at this score; see calibration
    steps: tuple[str, ...] = ()  # of an agent: all it did on the way, in words
    own_tests: Mapping[str, str] = field(default_factory=dict)  # path -> text; not in the patch
    checked: bool = True  # False: enough better ones held, or the time was over


@dataclass(frozen=True, slots=True)
class Partial:
    """A patch that mends some of the failing tests and breaks none; never verified as a whole."""

    patch: str  # unified diff, applies with `git apply`
    files: tuple[str, ...]
    edits: tuple[str, ...]  # rationale of each edit, in order
    node: int  # id in the search tree
    mends: tuple[str, ...]  # target tests that pass with it, twice, in fresh processes
    fails: tuple[str, ...]  # target tests that still fail


@dataclass(frozen=True, slots=True)
class FixResult:
    """The answer of a run."""

    status: Status
    message: str  # one or two sentences for people
    candidates: tuple[Candidate, ...] = ()
    evaluations: int = 0
    seconds: float = 0.0
    tests_before: tuple[TestOutcome, ...] = ()  # targets and everything else that was run
    tests_after: tuple[TestOutcome, ...] = ()  # with the best verified patch
    targets: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    nodes: int = 0
    transpositions: int = 0
    seed: int = 0
    strategy: str = ""
    sandbox: str = ""
    test_command: str = ""
    python: str = ""
    out: str = ""
    applied: bool = False
    model: str = ""  # who proposed, empty for the repair policy
    tokens: int = 0  # of language models, prompt and completion
    usd: float = 0.0  # as far as prices are known
    choice: Mapping[str, Any] | None = None  # of a debate among the verified patches
    partial: Partial | None = None  # where no patch is verified: the best for some of the targets
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.status]

    def to_json(self) -> dict[str, Any]:
        """The documented JSON document (see docs/fix-json.md)."""
        from meritree import __version__

        best = self.candidates[0] if self.candidates else None
        document: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            "version": __version__,
            "status": self.status,
            "message": self.message,
            "patch": best.patch if best else None,
            "files": list(best.files) if best else [],
            "estimate": _estimate(best) if best else None,
            "candidates": [{**_plain(c), "estimate": _estimate(c)} for c in self.candidates],
        }
        rest = asdict(replace(self, candidates=()))  # estimates may be read-only: not copied
        for key in ("status", "message", "candidates"):
            rest.pop(key)
        document.update(rest)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> FixResult:
        """The reverse of `to_json`; unknown keys of other versions are passed over.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is something else.
        """
        values = {f.name: document[f.name] for f in fields(cls) if f.name in document}
        if values["status"] not in EXIT_CODES:
            raise ValueError(f"no such status: {values['status']!r}")
        for name in ("targets", "flaky", "warnings"):
            values[name] = tuple(values[name])
        for name in ("tests_before", "tests_after"):
            values[name] = tuple(TestOutcome(**one) for one in values[name])
        values["candidates"] = tuple(map(_candidate, document["candidates"]))
        if part := values.get("partial"):
            values["partial"] = Partial(**{f.name: _fixed(part[f.name]) for f in fields(Partial)})
        return cls(**values)


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _candidate(data: Mapping[str, Any]) -> Candidate:
    values = {f.name: data[f.name] for f in fields(Candidate) if f.name in data}
    for name in ("files", "edits", "flags", "steps"):
        values[name] = tuple(values.get(name, ()))
    told = data["estimate"]
    values["estimate"] = Estimate(
        told["mean"], told["std"], told["n"], told["channels"], told["reasons"]
    )
    return Candidate(**values, gains=told.get("gains", {}))


def _estimate(candidate: Candidate) -> dict[str, Any]:
    estimate = candidate.estimate
    return {
        "mean": estimate.mean,
        "std": estimate.std,
        "n": estimate.n,
        "channels": dict(estimate.channels),
        "reasons": dict(estimate.reasons),
        "gains": dict(candidate.gains),
    }


def _plain(candidate: Candidate) -> dict[str, Any]:
    return {
        "rank": candidate.rank,
        "verified": candidate.verified,
        "patch": candidate.patch,
        "files": list(candidate.files),
        "edits": list(candidate.edits),
        "node": candidate.node,
        "evaluations": candidate.evaluations,
        "verdict": candidate.verdict,
        "score": candidate.score,
        "risk": candidate.risk,
        "flags": [dict(flag) for flag in candidate.flags],
        "steps": list(candidate.steps),
        "own_tests": dict(candidate.own_tests),
        "checked": candidate.checked,
    }


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a run, for live views.

    Attributes:
        phase: ``"read"``, ``"collect"``, ``"baseline"``, ``"localise"``, ``"replay"``,
            ``"search"``, ``"verify"`` or ``"done"``.
        message: what is being done, in words.
        evaluations, budget_tests, seconds, budget_seconds: for the budget bars.
        nodes: nodes in the tree.
        best: value of the best node so far, in [0, 1].
        best_line: rationales on the path from the root to the best node.
        found: patches that passed in the search so far.
        node: what the latest step added, if any: id, parent id, rationale, value.
        usd, budget_usd: money for models, in US dollars.
        folder: of the run; all that is needed to go on with it.
    """

    phase: str
    message: str
    evaluations: int = 0
    budget_tests: int = 0
    seconds: float = 0.0
    budget_seconds: float = 0.0
    nodes: int = 0
    best: float = 0.0
    best_line: tuple[str, ...] = ()
    found: int = 0
    node: tuple[int, int, str, float] | None = None
    usd: float = 0.0
    budget_usd: float = 0.0
    folder: str = ""


Listener = Callable[[Progress], None]

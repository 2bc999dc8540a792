"""How often code search finds the file and the function of known fixes.

Usage: python benchmarks/retrieval.py --clone PATH ... --queries FILE --part dev|validation
           [--weights FILE] [--out FILE]

``--queries`` is made by benchmarks/retrieval_queries.py. A query is the report of the failing tests
or the subject of the fixing commit; the tree is the fix's parent (so that no changelog tells), with
the fix's test files added where the query is a report. Answers may be any code but tests. Weights
are tuned on ``--part dev`` and written to ``--weights``; ``--part validation`` reads them.
Intervals: 95 %, bootstrap over repositories, since fixes of one repository are alike.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from meritree.bench.history_cases import git, show
from meritree.bench.provenance import provenance
from meritree.errors import BadInput
from meritree.stats.bootstrap import cluster_bootstrap
from meritree.stats.retrieval import reciprocal_rank_at
from meritree.swe.repository import is_test_path
from meritree.swe.retrieval import CodeIndex, Fusion, build_index
from meritree.swe.retrieval.data import Place
from meritree.swe.retrieval.index import to_unit
from meritree.swe.retrieval.pieces import FileIndex, index_file
from meritree.value.fuse_weights import tune_weights

LARGEST = 400_000  # bytes of a file that is indexed
SHUFFLES = 20
KINDS = ("report", "subject")
MEASURES = ("hit@1", "hit@5", "hit@10", "MRR")
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True)
class Asked:
    """One query with its answers and what the channels found."""

    commit: str
    repository: str
    kind: str
    source: str
    right: frozenset[Place]
    found: Mapping[str, Mapping[Place, Any]]
    index: CodeIndex
    places: tuple[Place, ...]
    seconds: float
    built: float


def is_answer(path: str) -> bool:
    """Code of the project: tests are where the query comes from."""
    return path.endswith((".py", ".pyi")) and not is_test_path(path)


def tree(clone: Path, commit: str) -> dict[str, str]:
    """Texts of all UTF-8 files of a commit, large ones left out."""
    listed = git(clone, "ls-tree", "-r", "-l", "-z", commit).split("\0")
    wanted = {}
    for row in listed:
        if row:
            head, path = row.split("\t", 1)
            mode, kind, name, size = head.split()
            if kind == "blob" and mode != "120000" and size != "-" and int(size) <= LARGEST:
                wanted[path] = name
    asked = "".join(f"{name}\n" for name in wanted.values()).encode()
    command = ["git", "-C", str(clone), "cat-file", "--batch"]
    data = subprocess.run(command, input=asked, capture_output=True, check=True).stdout
    texts, at = {}, 0
    for path in wanted:
        end = data.index(b"\n", at)
        head = data[at:end].split()
        if head[-1] == b"missing":  # a partial clone
            at = end + 1
            continue
        body = data[end + 1 : end + 1 + int(head[2])]
        at = end + 2 + int(head[2])
        try:
            texts[path] = body.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return texts


def changed_places(row: Mapping[str, Any], before: FileIndex, after: FileIndex) -> frozenset[Place]:
    """The places of the old text that the fix changed."""
    found: set[Place] = set()
    names = {piece.place.symbol: piece.place for piece in before.pieces}
    old = new = 0
    for line in row["diff"].split("\n"):
        if match := _HUNK.match(line):
            old, new = int(match.group(1)), int(match.group(3))
        elif not old and not new:
            continue
        elif line.startswith("-"):
            number = before.at(old)
            if number is not None and line[1:].strip():
                found.add(before.pieces[number].place)
            old += 1
        elif line.startswith("+"):
            number = after.at(new)
            if number is not None and line[1:].strip():
                place = names.get(after.pieces[number].place.symbol)
                if place is not None:
                    found.add(place)
            new += 1
        else:
            old, new = old + 1, new + 1
    return frozenset(found)


def ask(clone: Path, row: Mapping[str, Any]) -> list[Asked]:
    """Both queries of one fix (one, where no test fails here)."""
    texts = tree(clone, row["parent"])
    later = show(clone, f"{row['commit']}:{row['source']}").decode("utf-8", "replace")
    source = row["source"]
    right = changed_places(row, index_file(source, texts[source]), index_file(source, later))
    begun = time.process_time()
    plain = build_index(texts)
    built = time.process_time() - begun
    found = []
    for kind in KINDS:
        query, index = row[kind], plain
        if not query or not right:
            continue
        if kind == "report":
            tests = {p: t for p, t in tree(clone, row["commit"]).items() if is_test_path(p)}
            index = plain.changed(tests)
        begun = time.process_time()
        channels = index.by_channel(query, within=is_answer)
        index.fused(channels)
        seconds = time.process_time() - begun
        places = tuple(p.place for p in index.pieces if is_answer(p.place.path))
        found.append(
            Asked(row["commit"], row["repository"], kind, source, right, channels, index, places,
                  seconds, built)
        )  # fmt: skip
    return found


def scaled(one: Asked) -> dict[str, dict[Place, float]]:
    """Scores of each channel as `Fusion("scores")` joins them."""
    return {
        name: to_unit({place: what.score for place, what in own.items()}, name) if own else {}
        for name, own in one.found.items()
    }


def tuned(asked: Sequence[Asked]) -> dict[str, Any]:
    """Weights with the best mean reciprocal rank of the function, half the weight of each kind."""
    lists = {(one.commit, one.kind): scaled(one) for one in asked}
    right = {(one.commit, one.kind): one.right for one in asked}
    answer = tune_weights(lists, right, partial(reciprocal_rank_at, 200), step=0.1)
    return {
        "weights": dict(answer.weights),
        "held_out_mrr": round(answer.held_out, 3),
        "by_fold": [dict(one) for one in answer.by_fold],
    }


def orders(one: Asked, weights: Mapping[str, float]) -> dict[str, list[list[Place]]]:
    """Of every system, its order of places (several, where it is drawn)."""
    from dataclasses import replace

    def joined(fusion: Fusion, *names: str) -> list[Place]:
        own = {name: one.found[name] for name in names or one.found}
        return [hit.place for hit in replace(one.index, fusion=fusion).fused(own)]

    rng = random.Random(f"{one.commit}{one.kind}")
    drawn = []
    for _ in range(SHUFFLES):
        places = list(one.places)
        rng.shuffle(places)
        drawn.append(places)
    even = Fusion("rrf", {"lexical": 1.0, "structural": 1.0})
    return {
        "random": drawn,
        "lexical": [joined(even, "lexical")],
        "structural": [joined(even, "structural")],
        "rrf": [joined(even)],
        "tuned": [joined(Fusion("scores", weights))],
    }


def measured(ranking: Sequence[Any], right: frozenset[Any]) -> dict[str, float]:
    """Whether a right answer is among the first, and 1 / its place."""
    at = next((i + 1 for i, one in enumerate(ranking) if one in right), 0)
    hits = {f"hit@{k}": float(0 < at <= k) for k in (1, 5, 10)}
    return {**hits, "MRR": 1.0 / at if at else 0.0}


def scores(asked: Sequence[Asked], weights: Mapping[str, float]) -> dict[str, Any]:
    """system -> kind -> goal -> measure -> one value a query."""
    table: dict[str, Any] = {}
    for one in asked:
        for system, rankings in orders(one, weights).items():
            for goal in ("file", "function"):
                values: dict[str, list[float]] = {name: [] for name in MEASURES}
                for ranking in rankings:
                    if goal == "file":
                        files = list(dict.fromkeys(place.path for place in ranking))
                        got = measured(files, frozenset({one.source}))
                    else:
                        got = measured(ranking, one.right)
                    for name, value in got.items():
                        values[name].append(value)
                for name in MEASURES:
                    cell = table.setdefault(system, {}).setdefault(one.kind, {})
                    own = cell.setdefault(goal, {}).setdefault(name, {})
                    own[one.commit] = statistics.fmean(values[name])
    return table


def interval(values: Mapping[str, float], repository: Mapping[str, str]) -> list[float]:
    """[mean, low, high] over repositories."""
    clusters: dict[str, list[float]] = {}
    for commit, value in values.items():
        clusters.setdefault(repository[commit], []).append(value)
    found = cluster_bootstrap(list(clusters.values()), resamples=4000)
    return [round(number, 3) for number in (found.mean, found.low, found.high)]


def summary(table: Mapping[str, Any], repository: Mapping[str, str]) -> dict[str, Any]:
    """Means with intervals, and each system's paired gain over the lexical channel."""
    found: dict[str, Any] = {}
    for system, kinds in table.items():
        for kind, goals in kinds.items():
            for goal, measures in goals.items():
                row = {name: interval(values, repository) for name, values in measures.items()}
                base = table["lexical"][kind][goal]["MRR"]
                gain = {c: v - base[c] for c, v in measures["MRR"].items()}
                row["MRR over lexical"] = interval(gain, repository)
                found.setdefault(kind, {}).setdefault(goal, {})[system] = row
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clone", type=Path, nargs="+", required=True, help="local repositories")
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--part", choices=("dev", "validation"), required=True)
    parser.add_argument("--weights", type=Path, help="written by dev, read by validation")
    parser.add_argument("--out", type=Path, help="results JSON; the part is put into it")
    given = parser.parse_args(argv)
    rows = [json.loads(line) for line in given.queries.read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["part"] == given.part]
    asked: list[Asked] = []
    for row in rows:
        project = row["repository"].replace("/", "+")
        clone = next((c for c in given.clone if project in (c.name, c.parent.name)), None)
        if clone is None:
            raise BadInput(f"no clone of {row['repository']}; give one in a folder named {project}")
        asked += ask(clone, row)
        print(row["repository"], row["commit"][:8], file=sys.stderr, flush=True)
    if given.part == "dev":
        tuning = tuned(asked)
        if given.weights:
            given.weights.write_text(json.dumps(tuning, indent=1) + "\n", "utf-8")
    else:
        tuning = json.loads(given.weights.read_text("utf-8"))
    repository = {row["commit"]: row["repository"] for row in rows}
    command = (
        "python benchmarks/retrieval.py --clone CLONE ... --queries QUERIES "
        f"--part {given.part} --weights WEIGHTS --out benchmarks/results/retrieval.json"
    )
    result = {
        "queries": {kind: sum(one.kind == kind for one in asked) for kind in KINDS},
        "fixes": len(rows),
        "queries_made_with": sorted({row["made_with"] for row in rows}),
        "repositories": len(set(repository.values())),
        "command": command,
        "without_report": sum(not row["report"] for row in rows),
        "places_median": statistics.median(len(one.places) for one in asked),
        "index_seconds_median": round(statistics.median(one.built for one in asked), 2),
        "search_ms_median": round(1000 * statistics.median(one.seconds for one in asked), 1),
        "tuning": tuning,
        "scores": summary(scores(asked, tuning["weights"]), repository),
        "provenance": provenance(command),
    }
    print(json.dumps(result, indent=1))
    if given.out:
        stored = json.loads(given.out.read_text("utf-8")) if given.out.exists() else {}
        given.out.write_text(json.dumps({**stored, given.part: result}, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadInput as error:
        print(error, file=sys.stderr)
        sys.exit(2)

"""Runs a study: seeds one after the other or in processes, resumable, with progress.

Rows of finished seeds are appended to a file at once, so that an interrupted run goes on
where it stood when the same command is given again.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.run.commit import commit as commit_of_code
from meritree.run.engines import Engine, Here
from meritree.studies.result import Provenance, Result, judge
from meritree.studies.rows import Rows, SeedRow
from meritree.studies.study import ScaleName, Study, checked_row

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Done:
    seed: int
    rows: tuple[SeedRow, ...]
    seconds: float
    commit: str = ""  # of the code that measured; empty where an older version did not say


def run(
    study: Study,
    scale: ScaleName,
    *,
    seeds: int | None = None,
    out: Path | None = None,
    anew: bool = False,
    engine: Engine | None = None,
    progress: Progress = lambda done, total: None,
) -> Result:
    """Measure a study and judge its claim.

    Rows that lie in ``out`` are kept with the commit that measured them: the result names every
    commit.

    Args:
        study: what to measure.
        scale: ``smoke``, ``full`` or one of the study's further ones.
        seeds: how many, from 0; default: the scale's own number.
        out: folder for the rows of finished seeds; None: nothing is kept between runs.
        anew: rows that lie there are put aside (``rows.jsonl.old``), not gone on with.
        engine: where seeds are measured; in this process when None.
        progress: called with (seeds done, seeds in all).

    Raises:
        BadInput: a module that the study needs is missing, an impossible number, a folder that
            is a file, that no study made, or that holds rows of another study or other settings.
    """
    check_needs(study)
    study = study.at(scale)
    size = study.scales[scale]
    count = size.seeds if seeds is None else seeds
    if count < 1:
        raise BadInput(f"--seeds {count}: a study needs at least one seed")
    if out is not None:
        _check_folder(out)
    _share_compiled_code()
    # Both belong to the start: files may be edited while a long study runs.
    load, measured = _load(), commit()
    if anew and out is not None:
        _put_aside(out)
    kept = _Kept.open(study, scale, out)
    done = {seed: one for seed, one in kept.done.items() if seed < count}
    progress(len(done), count)
    todo = [seed for seed in range(count) if seed not in done]
    for one in _measured(study, scale, todo, engine or Here()):
        one = replace(one, commit=measured)
        kept.add(one)
        done[one.seed] = one
        progress(len(done), count)
    rows = Rows.of(row for seed in sorted(done) for row in done[seed].rows)
    verdict, findings = judge(study, rows)
    provenance = Provenance(
        command=f"meritree study {study.name} --scale {scale}"
        + (f" --seeds {count}" if count != size.seeds else "")
        + _model_options(size.settings),
        commit=_commits(done, measured),
        seeds=tuple(sorted(done)),
        settings=dict(size.settings),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        versions=_versions(study.needs),
        date=datetime.date.today().isoformat(),
        seconds=round(sum(one.seconds for one in done.values()), 1),
        load=load,
    )
    return Result(study.id, study.name, scale, verdict, findings, rows, provenance, part=study.part)


def _commits(done: Mapping[int, _Done], now: str) -> str:
    """The commits that measured, in order of seeds, each once; a single one is named alone."""
    told = [done[seed].commit or f"an earlier run, continued at {now}" for seed in sorted(done)]
    return ", ".join(dict.fromkeys(told))


def _check_folder(out: Path) -> None:
    """Raise `BadInput` where results would be written among files that no study made."""
    if out.is_file():
        raise BadInput(f"--out {out} is a file; give a folder")
    try:
        files = {path.name: path for path in out.iterdir()} if out.is_dir() else {}
        ours = any(_made_by_a_study(files[name]) for name in _ROWS if name in files)
    except OSError as error:
        raise BadInput(f"--out {out} cannot be read: {error.strerror}; give another") from None
    # A run that was killed as it began leaves an empty file.
    begun = files.keys() == {"rows.jsonl"} and not files["rows.jsonl"].stat().st_size
    if files and not ours and not begun:
        raise BadInput(
            f"--out {out} is not empty and no study made it; give a new or empty folder, or that "
            "of an earlier run of this study to go on"
        )


_ROWS = ("rows.jsonl", "rows.jsonl.old")


def _made_by_a_study(path: Path) -> bool:
    """Whether a file of rows begins as those of a study do."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return {"study", "scale", "recipe"} <= (_read(file.readline(10_000)) or {}).keys()


def _put_aside(out: Path) -> None:
    try:
        if (out / "rows.jsonl").is_file():
            (out / "rows.jsonl").replace(out / "rows.jsonl.old")
    except OSError as error:
        raise BadInput(f"--anew: {out}: {error.strerror}") from None


def check_needs(study: Study) -> None:
    """Raise `BadInput` that names what is missing and how to install it."""
    missing = [name for name in study.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(
            f"study {study.name} needs {', '.join(missing)}; "
            f"install the extra: pip install 'meritree[{study.extra}]'"
        )


def measure_seed(study: Study, scale: ScaleName, seed: int) -> _Done:
    """Measure one seed in this process."""
    started = time.monotonic()
    rows = tuple(
        SeedRow(seed, *checked_row(study, row))
        for row in study.measure(seed, study.scales[scale].settings)
    )
    if not rows:
        raise BadInput(f"study {study.name}: seed {seed} gave no row")
    return _Done(seed, rows, time.monotonic() - started)


def commit() -> str:
    """Commit of the running code; a stored result changes nothing that is measured."""
    return commit_of_code(Path(__file__).parent / "results")


def _measured(
    study: Study, scale: ScaleName, seeds: Iterable[int], engine: Engine
) -> Iterator[_Done]:
    todo = list(seeds)
    if isinstance(engine, Here) or len(todo) < 2:
        for seed in todo:
            yield measure_seed(study, scale, seed)
        return
    settings = dict(study.scales[scale].settings)
    for _, one in engine.each(partial(_measure_named, study.name, scale, settings), todo):
        yield one


def _measure_named(name: str, scale: ScaleName, settings: dict[str, Any], seed: int) -> _Done:
    from meritree.studies.registry import study_named

    declared = study_named(name).at(scale)
    size = replace(declared.scales[scale], settings=settings)
    return measure_seed(replace(declared, scales={**declared.scales, scale: size}), scale, seed)


def _model_options(settings: Mapping[str, Any]) -> str:
    """The options that name the language model measured, if one was."""
    options = [
        (f"--{name.replace('_', '-')}", settings.get(name)) for name in ("model", "base_url")
    ]
    return "".join(f" {option} {value}" for option, value in options if value)


class _Kept:
    """Rows of finished seeds in ``out/rows.jsonl``; its first line says what they are of."""

    def __init__(self, path: Path | None, done: dict[int, _Done]) -> None:
        self._path = path
        self.done = done

    @classmethod
    def open(cls, study: Study, scale: ScaleName, out: Path | None) -> _Kept:
        if out is None:
            return cls(None, {})
        path = out / "rows.jsonl"
        head = {"study": study.name, "scale": scale, "recipe": _recipe(study, scale)}
        try:
            out.mkdir(parents=True, exist_ok=True)
            if not path.is_file() or not path.stat().st_size:
                path.write_text(json.dumps(head) + "\n", "utf-8")
                return cls(path, {})
            text = path.read_text("utf-8")
            if not text.endswith("\n"):  # a killed process left half a line: end it
                path.write_text(text + "\n", "utf-8")
            lines = text.splitlines()
        except OSError as error:
            raise BadInput(f"--out {out}: {error.strerror}") from None
        first = _read(lines[0])
        if first != head:
            told = first or {}
            raise BadInput(
                f"--out {out}: holds rows of {told.get('study', 'something else')} at scale "
                f"{told.get('scale', '?')}{_same_name(told, head)}; measure anew with --anew (they "
                "are put aside), or give another folder"
            )
        entries = [entry for entry in map(_read, lines[1:]) if entry]
        done = {
            entry["seed"]: _Done(
                entry["seed"],
                tuple(SeedRow(*row) for row in entry["rows"]),
                entry["seconds"],
                entry.get("commit", ""),
            )
            for entry in entries
        }
        return cls(path, done)

    def add(self, one: _Done) -> None:
        if self._path is None:
            return
        entry = {
            "seed": one.seed, "seconds": one.seconds, "commit": one.commit,
            "rows": [list(r) for r in one.rows],
        }  # fmt: skip
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")


def _same_name(told: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    same = all(told.get(name) == head[name] for name in ("study", "scale"))
    return ", but of other settings or of another version of the study" if same else ""


def _read(line: str) -> dict[str, Any] | None:
    """One line, None where a killed process left half of one."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _recipe(study: Study, scale: ScaleName) -> str:
    """Changes when the study's own file or its settings change."""
    source = Path(study.measure.__code__.co_filename).read_bytes()
    settings = repr(sorted(study.scales[scale].settings.items()))
    return hashlib.sha256(source + settings.encode()).hexdigest()[:16]


def _share_compiled_code() -> None:
    """Let JAX keep compiled programs between runs (read by JAX when it is imported)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache / "meritree" / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")


def _versions(modules: Iterable[str]) -> Mapping[str, str]:
    names = metadata.packages_distributions()
    found = {"python": platform.python_version()}
    for module in modules:
        for distribution in names.get(module.split(".")[0], [])[:1]:
            found[distribution] = metadata.version(distribution)
    return found


def _load() -> float:
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0

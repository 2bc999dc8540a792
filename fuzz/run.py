"""Coverage-guided fuzzing of one parser.

    pip install atheris
    python fuzz/run.py NAME [-max_total_time=60] [options of libFuzzer] [corpus folders]

Without NAME the targets are listed. A finding is written to the working folder as crash-*.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def main() -> int:
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: atheris is not installed here (pip install atheris); skipped")
        return 0
    import atheris

    sys.path.insert(0, str(Path(__file__).parent))
    with atheris.instrument_imports(include=["meritree", "targets"]):
        from targets import TARGETS

        import meritree.cli.settings
        import meritree.run.journal
        import meritree.studies.result
        import meritree.swe.calibration
        import meritree.swe.code_search
        import meritree.swe.folder_scan
        import meritree.swe.git_diff
        import meritree.swe.harness.wire
        import meritree.swe.outcome_codec
        import meritree.swe.repair.ingredients
        import meritree.swe.repository
        import meritree.swe.testing.detect
        import meritree.swe.traceback_text
        import meritree.view.store  # noqa: F401
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print("\n".join(f"{name:18} {function.__doc__}" for name, function in TARGETS.items()))
        return 2
    test_one_input = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())

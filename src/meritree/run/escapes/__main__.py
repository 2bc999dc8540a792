"""`python -m meritree.run.escapes`: the attempts as plain lines, with the standard library only.

For a user who has nothing installed (`meritree sandbox check` shows more, and tests the verdict).
"""

from __future__ import annotations

import os
import sys

from meritree.run.escapes import check, failures
from meritree.run.sandbox import choose, describe


def main() -> int:
    """Try everything on every kind that works here; 1 when something got out that must not."""
    kinds = [choose(one.name) for one in describe() if one.available]
    results = list(check(kinds))
    words = {True: "refused", False: "ESCAPED", None: "not testable"}
    for one in results:
        said = words[one.refused] if one.promised or one.refused is not False else "not promised"
        print(f"{one.attempt:20} {one.kind:12} {said:14} {one.reason}")
    broken = failures(results)
    print(f"as user {os.geteuid()}: {len(results)} tries, {len(broken)} escapes")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

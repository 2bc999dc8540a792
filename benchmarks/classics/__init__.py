"""Small algorithms with the slips that people make in them: a list to tune the repair policy on.

Ours; none of it is in a published list. Knows nothing of repairs.
"""

from __future__ import annotations

from classics import graphs, numbers, sequences, strings, tables
from classics.program import Program, Slip

__all__ = ["PROGRAMS", "Program", "Slip"]

PROGRAMS: dict[str, Program] = {
    each.name: each
    for room in (graphs, numbers, sequences, strings, tables)
    for each in room.PROGRAMS
}

"""Which repository lines run, or which functions: a trace hook, or sys.monitoring.

Knows files and lines only.
"""

from __future__ import annotations

import sys
import threading
import types
from typing import Any, Callable, Dict, List, Optional, Set

Wanted = Callable[[str], Optional[str]]
_TOOL = 3


class Lines:
    """Collects lines of the files for which ``wanted`` gives a name.

    ``what`` is ``"line"`` for every executed line, ``"call"`` for the first lines of the
    functions that were entered, which costs a fraction.
    """

    def __init__(self, wanted: Wanted, what: str = "line") -> None:
        self._wanted = wanted
        self._what = what
        self._sets: Dict[str, Optional[Set[int]]] = {}
        self._named: Dict[str, Set[int]] = {}
        self._monitoring: Any = getattr(sys, "monitoring", None)
        self._hook = self._called if what == "line" else self._entered

    def start(self) -> None:
        """Begin, or begin anew with nothing recorded."""
        self._sets, self._named = {}, {}
        if self._monitoring is None:
            threading.settrace(self._hook)
            sys.settrace(self._hook)
            return
        events = self._monitoring.events
        self._monitoring.use_tool_id(_TOOL, "meritree-lines")
        if self._what == "line":
            self._monitoring.register_callback(_TOOL, events.LINE, self._line_event)
            self._monitoring.set_events(_TOOL, events.LINE)
        else:
            self._monitoring.register_callback(_TOOL, events.PY_START, self._start_event)
            self._monitoring.set_events(_TOOL, events.PY_START)
        self._monitoring.restart_events()

    def stop(self) -> bool:
        """End; False when code under test had put another trace hook in our place."""
        if self._monitoring is None:
            kept = sys.gettrace() is self._hook
            sys.settrace(None)
            threading.settrace(None)
            return kept
        self._monitoring.set_events(_TOOL, 0)
        self._monitoring.free_tool_id(_TOOL)
        return True

    def lines(self) -> Dict[str, List[int]]:
        return {path: sorted(found) for path, found in self._named.items() if found}

    def _set_of(self, filename: str) -> Optional[Set[int]]:
        try:
            return self._sets[filename]
        except KeyError:
            name = self._wanted(filename)
            found = None if name is None else self._named.setdefault(name, set())
            self._sets[filename] = found
            return found

    def _called(self, frame: types.FrameType, _event: str, _arg: Any) -> Any:
        found = self._set_of(frame.f_code.co_filename)
        if found is None:
            return None
        add = found.add

        def local(inner: types.FrameType, event: str, _arg: Any) -> Any:
            if event == "line":
                add(inner.f_lineno)
            return local

        return local

    def _entered(self, frame: types.FrameType, _event: str, _arg: Any) -> Any:
        found = self._set_of(frame.f_code.co_filename)
        if found is not None:
            found.add(frame.f_code.co_firstlineno)
        return None

    def _start_event(self, code: types.CodeType, _offset: int) -> Any:
        return self._line_event(code, code.co_firstlineno)

    def _line_event(self, code: types.CodeType, line: int) -> Any:
        found = self._set_of(code.co_filename)
        if found is not None:
            found.add(line)
        return self._monitoring.DISABLE

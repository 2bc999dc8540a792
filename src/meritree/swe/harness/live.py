"""The repository's functions in this process: which ran at import, and where each lives.

Knows code objects and the garbage collector; nothing of candidates.
"""

from __future__ import annotations

import functools
import gc
import sys
import types
from typing import Any, Dict, List, Optional, Tuple

from .record import Places


class Executed:
    """Notes every repository function that runs while modules are imported."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.codes: Dict[int, types.CodeType] = {}
        self._tool: Optional[int] = None

    def start(self) -> None:
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None:
            sys.settrace(self._called)
            return
        self._tool = 4
        monitoring.use_tool_id(self._tool, "meritree-import")
        monitoring.register_callback(self._tool, monitoring.events.PY_START, self._started)
        monitoring.set_events(self._tool, monitoring.events.PY_START)

    def stop(self) -> None:
        if self._tool is None:
            sys.settrace(None)
            return
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            monitoring.set_events(self._tool, 0)
            monitoring.free_tool_id(self._tool)
            self._tool = None

    def _called(self, frame: types.FrameType, _event: str, _arg: Any) -> None:
        code = frame.f_code
        if id(code) not in self.codes and self._places.relative(code.co_filename):
            self.codes[id(code)] = code

    def _started(self, code: types.CodeType, _offset: int) -> Any:
        if self._places.relative(code.co_filename):
            self.codes[id(code)] = code
        return getattr(sys, "monitoring").DISABLE  # noqa: B009  (absent before 3.12)


Key = Tuple[str, int, str]


class Index:
    """Live function objects of the repository, by place and by code object."""

    def __init__(self, places: Places, executed: Executed) -> None:
        self.places = places
        self.executed = executed
        self.by_place: Dict[Key, List[types.FunctionType]] = {}
        self.by_code: Dict[int, List[types.FunctionType]] = {}
        self.caches: List[Any] = []

    def rebuild(self) -> None:
        """Look through everything the garbage collector tracks (call before gc.freeze)."""
        self.by_place.clear()
        self.by_code.clear()
        self.caches = []
        for thing in gc.get_objects():
            kind = type(thing)
            if kind is types.FunctionType:
                self._add(thing)
            elif kind is functools._lru_cache_wrapper:
                code = getattr(getattr(thing, "__wrapped__", None), "__code__", None)
                if code is not None and self.places.relative(code.co_filename):
                    self.caches.append(thing)

    def _add(self, function: types.FunctionType) -> None:
        code = function.__code__
        path = self.places.relative(code.co_filename)
        if path is not None:
            self.by_place.setdefault((path, code.co_firstlineno, code.co_name), []).append(function)
            self.by_code.setdefault(id(code), []).append(function)

    def clear_caches(self) -> None:
        """Empty the functools caches of repository functions: they hold candidates' values."""
        for cache in self.caches:
            cache.cache_clear()

"""The level-by-level schedule of beam search."""

from __future__ import annotations

from meritree.search.tree import Node, Tree


class BeamSchedule:
    """Fills a level breadth first, then moves to the best of its children.

    Expansions of a level are handed out round by round (each state gets its first child before
    any gets a second), so that parallel workers share a level. A level is judged only when all
    of its tickets are answered.
    """

    reads_subtrees = False
    virtual_loss = False

    def __init__(self, tree: Tree, width: int, expansions: int, restart: bool) -> None:
        self._tree = tree
        self._width = width
        self._expansions = expansions
        self._restart = restart
        self._level: list[Node] = []
        self._quota: dict[int, int] = {}
        self._successors: list[Node] = []

    def next(self, ticket: int) -> Node | None:
        while True:
            waiting = [node for node in self._level if self._wants(node)]
            if waiting:
                return min(waiting, key=self._used)
            if any(node.pending for node in self._level) or not self._descend():
                return None

    def added(self, node: Node) -> None:
        if node.parent < 0:
            self._enter([node])
        else:
            self._successors.append(node)

    def changed(self, node: Node) -> None:
        """Nothing to remember: caps and tickets are read when asked."""

    def visited(self, node: Node) -> None:
        """Nothing to remember."""

    def aliased(self, parent: Node) -> None:
        """Nothing to remember."""

    def _wants(self, node: Node) -> bool:
        return node.expandable and self._used(node) < self._expansions

    def _used(self, node: Node) -> int:
        return node.expansions + node.pending - self._quota[node.id]

    def _enter(self, level: list[Node]) -> None:
        self._level = level
        self._quota = {node.id: node.expansions for node in level}
        self._successors = []

    def _descend(self) -> bool:
        """Make the best successors the level, or start again; False when neither is possible."""
        open_nodes = [node for node in self._successors if node.expandable and not node.cut]
        if open_nodes:
            open_nodes.sort(key=lambda node: (-node.own, node.id))
            self._enter(open_nodes[: self._width])
            return True
        root = self._tree.raw[0]
        if self._restart and root.expandable:
            self._enter([root])
            return True
        self._level, self._successors = [], []
        return False

"""The ask/tell core: the tree says which node to expand next, whoever does the work tells back.

Iterative, with statistics kept incrementally; knows no world, no policy and no clock. The same
asks and tells with the same seed give the same tree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any

from meritree.search.andor import Decisions, and_or_fold
from meritree.search.exchange import Child, Exhausted, Ticket, never_given, out_of_range
from meritree.search.scheduling import Scheduler
from meritree.search.strategy import Strategy
from meritree.search.tree import ROOT_PARENT, Alias, Kind, Node, SearchError, Tree
from meritree.value.estimate import Estimate

# What became of a ticket, beside the id of the node it led to.
_PENDING, _EXHAUSTED, _CANCELLED = -1, -2, -3
_NO_TICKET = -1
_AND = Kind.AND
_INF = math.inf


class SearchTree:
    """A tree that is asked what to expand and told what came of it.

    Several tickets may be out at once (parallel workers). A descending selector then sees each
    of them as a visit of value 0 on its whole path until it is answered: *virtual loss*, Chaslot,
    Winands and van den Herik (2008), "Parallel Monte-Carlo Tree Search". Global selectors, which
    do not walk paths, see it at the expanded node only. Two tickets for one node stand for two
    different proposals.

    Args:
        strategy: selector, backup, widening and limits (see `strategies.make_strategy`).
        seed: used by selectors that draw at random.
    """

    def __init__(self, strategy: Strategy, seed: int = 0) -> None:
        self.strategy = strategy
        self.seed = seed
        self.tree = Tree(strategy.backup)
        self._backup = strategy.backup
        self._fold: Callable[[Node, float], float] = strategy.backup.fold
        self._scheduler = strategy.selector.bind(self.tree, strategy.widening, seed)
        if self._scheduler is None:
            raise SearchError(
                f"{type(strategy.selector).__name__}.bind gave None; return a scheduler, such as "
                "Frontier(tree, self) or Descent(tree, self, widening)"
            )
        self._decisions = Decisions(self.tree, strategy.close_solved, self._scheduler.changed)
        self._eager = self._scheduler.reads_subtrees
        self._virtual_loss = self._scheduler.virtual_loss
        self._and_or = False
        self._tickets: list[int] = []
        self._out = 0
        self._alone = _NO_TICKET
        self._caps: dict[int, int] = {}
        self._relaxations = 0

    # ------------------------------------------------------------------ the protocol

    def start(
        self,
        key: Hashable,
        estimate: Estimate,
        *,
        next_prior: float | None = None,
        kind: Kind = Kind.OR,
        terminal: bool = False,
        features: Any = None,
    ) -> Node:
        """Create the root.

        Args:
            key: identity of the starting state.
            estimate: its judgement, mean in [0, 1].
            next_prior: prior of its first proposal, if known.
            kind: OR or AND.
            terminal: nothing can be done here.
            features: facts for selectors that read them.

        Raises:
            SearchError: started twice, or a value out of range.
        """
        if self.tree.raw:
            raise SearchError("start() was called twice: one SearchTree holds one search")
        if not 0.0 <= estimate.mean <= 1.0 or not (next_prior is None or 0.0 <= next_prior < _INF):
            raise out_of_range(Child("root", None, estimate, next_prior=next_prior))
        root = Node(
            0,
            ROOT_PARENT,
            0,
            key,
            estimate,
            next_prior=next_prior,
            kind=kind,
            terminal=terminal,
            features=features,
            cap=0 if terminal else self._cap(0),
        )
        self._place(root)
        return root

    def ask(self) -> Ticket | None:
        """A node to expand by one child; None when nothing can be expanded now.

        None while tickets are out means "not before one of them is answered"; None with no
        ticket out means that the search is over (`finished`).
        """
        if not self.tree.raw:
            raise SearchError("ask() before start(): give the engine its root first")
        if self._alone >= 0:
            self._enter_alone()
        number = len(self._tickets)
        node = self._next(number)
        return None if node is None else self._issue(number, node)

    def ask_at(self, node_id: int, ticket_id: int | None = None) -> Ticket:
        """A ticket for a node of the caller's choice (replays and interactive use).

        Args:
            node_id: where to expand.
            ticket_id: the ticket's number; by default, and at least, the next unused one
                (numbers skipped count as cancelled).
        """
        number = len(self._tickets) if ticket_id is None else ticket_id
        if number < len(self._tickets):
            raise SearchError(f"ticket {number} was already given; use {len(self._tickets)}")
        node = self.tree.raw[node_id]
        if node.expansions + node.pending >= node.cap:
            raise SearchError(f"node {node.id} takes no further expansion now")
        self._tickets.extend([_CANCELLED] * (number - len(self._tickets)))
        if self._alone >= 0:
            self._enter_alone()
        return self._issue(number, node)

    def tell(self, ticket: Ticket, result: Child | Exhausted) -> Node:
        """Answer a ticket; a ticket answered before is left as it was.

        Args:
            ticket: from `ask`.
            result: the new child, or `EXHAUSTED` if the node has no further proposal.

        Returns:
            The new node; for a state already in the tree that older node (see `tree.aliases`);
            for `EXHAUSTED` the expanded node itself.

        Raises:
            SearchError: an unknown or cancelled ticket, a value outside [0, 1], a bad prior.
        """
        number, node_id = ticket
        if not 0 <= number < len(self._tickets):
            raise never_given(number)
        if self._tickets[number] != _PENDING:
            return self._answered(ticket, self._tickets[number])
        tree = self.tree
        node = tree.raw[node_id]
        if isinstance(result, Exhausted):
            self._withdraw(ticket, _EXHAUSTED, node)
            node.exhausted = True
            node.cap = 0
            self._scheduler.changed(node)
            self._decisions.reconsider(node)
            return node
        own, prior, following = result.estimate.mean, result.prior, result.next_prior
        if not (0.0 <= own <= 1.0 and 0.0 <= prior < _INF):
            raise out_of_range(result)
        if following is not None and not 0.0 <= following < _INF:
            raise out_of_range(result)
        known = tree.by_key.get(result.key)
        if known is None:
            return self._attach(ticket, node, result)
        return self._alias(ticket, node, tree.raw[known], result)

    def observe(self, node_id: int, value: float) -> Node:
        """Count one more visit of a node and its ancestors: what trying this state gave.

        For states that are tried later than they are proposed, or more than once.

        Raises:
            SearchError: an unknown node, or a value outside [0, 1].
        """
        if not 0.0 <= value <= 1.0:
            raise SearchError(f"observed value {value!r} of node {node_id} lies outside [0, 1]")
        node = self.tree[node_id]  # settled by reading; from now on kept step by step
        self._eager = True
        self._back_up(node, value, 0)
        return node

    def cancel(self, ticket: Ticket) -> None:
        """Give a ticket back unanswered: its virtual loss is undone, the tree is as before."""
        outcome = self._outcome(ticket)
        if outcome == _CANCELLED:
            return
        if outcome != _PENDING:
            raise SearchError(f"ticket {ticket.id} was already answered and cannot be cancelled")
        node = self.tree.raw[ticket.node]
        self._withdraw(ticket, _CANCELLED, node)
        self._scheduler.changed(node)
        self._decisions.reconsider(node)

    # ------------------------------------------------------------------ what stands

    @property
    def scheduler(self) -> Scheduler:
        """The selector's memory of this tree."""
        return self._scheduler

    @property
    def outstanding(self) -> int:
        """Tickets given and not yet answered or cancelled."""
        return self._out

    @property
    def finished(self) -> bool:
        """Nothing is left to expand and no ticket is out."""
        if not self.tree.raw or self._out:
            return False
        return self._next(len(self._tickets)) is None

    def node_of(self, key: Hashable) -> int | None:
        """Id of the node with this key, None if the state is not in the tree."""
        node = self.tree.find(key)
        return None if node is None else node.id

    # ------------------------------------------------------------------ inside

    def _next(self, number: int) -> Node | None:
        node = self._scheduler.next(number)
        if node is None and not self._out and self._relax():
            node = self._scheduler.next(number)
        return node

    def _relax(self) -> bool:
        """Give nodes that are at their limit the widening's next one; False if there is none."""
        relaxed = self.strategy.widening.relaxed
        full = [node for node in self.tree.raw if 0 < node.cap <= node.expansions]
        if not any(relaxed(node.cap) > node.cap for node in full):
            return False
        self._relaxations += 1
        self._caps.clear()
        for node in self.tree.raw:
            if node.cap:
                node.cap = relaxed(node.cap)
                self._scheduler.changed(node)
        return True

    def _cap(self, depth: int) -> int:
        cap = self._caps.get(depth)
        if cap is None:
            limit, widening = self.strategy.max_depth, self.strategy.widening
            cap = 0 if limit is not None and depth >= limit else widening.cap(depth)
            for _ in range(self._relaxations):
                cap = widening.relaxed(cap)
            self._caps[depth] = cap
        return cap

    def _outcome(self, ticket: Ticket) -> int:
        if not 0 <= ticket.id < len(self._tickets):
            raise never_given(ticket.id)
        return self._tickets[ticket.id]

    def _answered(self, ticket: Ticket, outcome: int) -> Node:
        if outcome == _CANCELLED:
            raise SearchError(f"ticket {ticket.id} was cancelled and cannot be answered")
        return self.tree.raw[ticket.node if outcome == _EXHAUSTED else outcome]

    def _issue(self, number: int, node: Node) -> Ticket:
        self._tickets.append(_PENDING)
        self._out += 1
        node.pending += 1
        if self._virtual_loss:
            # Nobody looks before the next question, and alone it may be answered by then.
            if self._out == 1:
                self._alone = number
                self._alone_at = node
            else:
                self._add_virtual(node, 1)
        self._scheduler.changed(node)
        return Ticket(number, node.id)

    def _enter_alone(self) -> None:
        """Let the selector see the ticket that was out alone."""
        self._alone = _NO_TICKET
        self._add_virtual(self._alone_at, 1)

    def _attach(self, ticket: Ticket, parent: Node, child: Child) -> Node:
        tree, depth = self.tree, parent.depth + 1
        node = Node(
            len(tree.raw),
            parent.id,
            depth,
            child.key,
            child.estimate,
            child.action,
            child.prior,
            child.kind,
            child.terminal,
            child.solved,
            child.features,
            0 if child.terminal else self._cap(depth),
        )
        parent.next_prior = child.prior if child.next_prior is None else child.next_prior
        virtual = self._close(ticket, node.id, parent)
        self._place(node)
        if self._backup.counts_estimates:
            self._back_up(parent, node.own, virtual)
        if node.solved is not None:
            self._decisions.told(node)
        return node

    def _alias(self, ticket: Ticket, parent: Node, target: Node, child: Child) -> Node:
        parent.next_prior = child.prior if child.next_prior is None else child.next_prior
        virtual = self._close(ticket, target.id, parent)
        self.tree.add_alias(Alias(parent.id, target.id, child.action, child.prior, target.own))
        if self._backup.counts_estimates:
            self._back_up(parent, target.own, virtual)
        self._scheduler.aliased(parent)
        self._decisions.aliased(parent, target)
        return target

    def _place(self, node: Node) -> None:
        if node.kind is _AND and not self._and_or:
            # Values of AND nodes depend on the history: from now on they are kept step by step.
            self.tree.settle()
            self._and_or = self._eager = True
            self._fold = and_or_fold(self.tree, self._backup, self.strategy.conjunction)
        self._backup.begin(node)
        self.tree.add(node)
        self._scheduler.added(node)

    def _close(self, ticket: Ticket, outcome: int, node: Node) -> int:
        """Note the outcome; return the virtual visits left to undo on the path (0 or 1)."""
        self._tickets[ticket.id] = outcome
        self._out -= 1
        node.pending -= 1
        if not self._virtual_loss:
            return 0
        if self._alone != ticket.id:
            return 1
        self._alone = _NO_TICKET
        return 0

    def _withdraw(self, ticket: Ticket, outcome: int, node: Node) -> None:
        """Close a ticket that brought no visit."""
        if self._close(ticket, outcome, node):
            self._add_virtual(node, -1)

    def _add_virtual(self, node: Node, change: int) -> None:
        nodes, end = self.tree.raw, node
        node.virtual += change
        while node.parent >= 0:
            node = nodes[node.parent]
            node.virtual += change
        self._scheduler.visited(end)

    def _back_up(self, node: Node, value: float, virtual: int) -> None:
        """Count a visit with ``value`` at ``node`` and its ancestors, in place of a virtual one."""
        if not self._eager:
            self.tree.stale = True
            return
        nodes, end = self.tree.raw, node
        if not virtual and not self._and_or:
            self._backup.climb(nodes, node, value)
        else:
            fold = self._fold
            while True:
                node.visits += 1
                node.virtual -= virtual
                value = fold(node, value)
                if node.parent < 0:
                    break
                node = nodes[node.parent]
        self._scheduler.visited(end)

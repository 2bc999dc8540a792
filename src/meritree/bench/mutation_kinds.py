"""What programmers get wrong, as changes of a syntax tree written as text splices.

Drawn from studies of one-statement bugs (wrong name, operator, numeral, argument order,
condition too wide or too narrow) and of omissions (a guard, a call, a statement left out).
Written without regard to what any repair policy can undo.
"""

from __future__ import annotations

from meritree.bench import expression_slips as expression
from meritree.bench import statement_slips as statement
from meritree.bench.slips import Change, Kind

__all__ = ["KINDS", "Change", "Kind"]

KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (
        expression.comparison_boundary,
        expression.comparison_reversed,
        expression.boolean_connective,
        expression.arithmetic_operator,
        expression.off_by_one,
        expression.wrong_variable,
        expression.wrong_target,
        expression.wrong_member,
        expression.swapped_arguments,
        expression.swapped_operands,
        expression.negation,
        expression.condition_part,
        expression.wrong_constant,
        expression.slice_bound,
        expression.missing_call,
        expression.missing_argument,
        expression.lost_delegation,
        statement.missing_guard,
        statement.missing_branch,
        statement.missing_statement,
        statement.wrong_default,
        statement.partial_return,
        statement.exception_type,
        statement.loop_control,
        statement.return_in_loop,
        statement.initial_value,
        statement.accumulation,
        statement.statement_order,
        statement.copied_branch,
    )
}

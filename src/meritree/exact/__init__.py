"""Exact tools for finite and linear decision processes: the ground truth of what learners learn.

NumPy and SciPy only. Modules: `mdp` and `models` (the processes), `solve`, `sampling`, `estimate`
(TD against Monte Carlo), `design` and `linear` (linear processes), `mdvi`, `flow` (learned
features), `stock` and `laws` (objectives of the whole return), `martingale` (continuous time),
`learning` (tabular Q-learning), `curiosity` (bonuses for what is new). Knows no network and no
trainer.
"""

from meritree.exact.design import Design, bonus, g_optimal_design, weighted_ls
from meritree.exact.estimate import (
    certainty_equivalence,
    crossing_time,
    lstd,
    mc_first_visit,
    online_td,
    pooling_coefficient,
    td_lambda,
)
from meritree.exact.flow import td_flow
from meritree.exact.laws import dist_dp, return_law
from meritree.exact.linear import LinearMDP
from meritree.exact.mdp import MDP, chain, markov_reward_process, policy_table, transformed
from meritree.exact.sampling import Episodes, generative, generative_counts, sample_episodes
from meritree.exact.solve import (
    Solution,
    action_values,
    backward_induction,
    evaluate,
    evaluate_steps,
    occupancy,
    policy_iteration,
    reversible,
    stationary,
    successor,
    value_iteration,
    visits,
)
from meritree.exact.stock import best_shortfall, law_of, stock_dp

__all__ = [
    "MDP",
    "Design",
    "Episodes",
    "LinearMDP",
    "Solution",
    "action_values",
    "backward_induction",
    "best_shortfall",
    "bonus",
    "certainty_equivalence",
    "chain",
    "crossing_time",
    "dist_dp",
    "evaluate",
    "evaluate_steps",
    "g_optimal_design",
    "generative",
    "generative_counts",
    "law_of",
    "lstd",
    "markov_reward_process",
    "mc_first_visit",
    "occupancy",
    "online_td",
    "policy_iteration",
    "policy_table",
    "pooling_coefficient",
    "return_law",
    "reversible",
    "sample_episodes",
    "stationary",
    "stock_dp",
    "successor",
    "td_flow",
    "td_lambda",
    "transformed",
    "value_iteration",
    "visits",
    "weighted_ls",
]

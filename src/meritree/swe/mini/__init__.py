"""mini-swe-agent as the policy inside our search, and its trajectories read (extra `mini`).

Nothing here imports the package before it is asked for.
"""

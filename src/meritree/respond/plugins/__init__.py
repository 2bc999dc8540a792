"""Models of other libraries behind our protocol. Each module imports its library when it is made,
and nothing here is imported unless it is asked for by name."""

"""Our objectives inside other libraries' trainers; each file needs its library only when called."""

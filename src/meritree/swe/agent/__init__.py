"""The SWE-agent: a language model proposes each step of a tree search over a repository."""

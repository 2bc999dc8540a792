"""What runs inside the target's interpreter: collect, swap code, run tests, tell results.

Standard library and the target's own pytest only, Python 3.8 syntax; never imports meritree.
Everything it reads or runs may be hostile: it talks length-prefixed JSON, never pickle.
"""

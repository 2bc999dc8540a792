"""`python -m meritree` is the program `meritree`."""

from meritree.cli.start import main

if __name__ == "__main__":
    main()

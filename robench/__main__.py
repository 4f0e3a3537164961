"""`python -m robench`: the command line without its script; with `-P` the current folder hides nothing."""

from robench.cli import main

if __name__ == "__main__":  # worker processes import this module too
    main()

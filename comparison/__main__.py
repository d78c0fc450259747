"""`python -m comparison`, the former name of `python -m examples.cardinality`."""

from examples.cardinality.__main__ import main

if __name__ == "__main__":
    main()

"""Figures that anyone can measure again. `make bench` runs all and writes to `bench/`."""

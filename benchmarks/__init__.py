"""Ratios against what a user would run instead. `python -m benchmarks` prints the table."""

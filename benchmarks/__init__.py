"""Benchmarks against named peers in the same run; `python -m benchmarks` runs them and writes the table."""

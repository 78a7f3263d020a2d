"""Experiments: methods × label fractions × repeats × data sets, and the tables, figures and report made of them.

An experiment is a YAML file (:mod:`.plan`). Running it fills a folder with one result for each cell of the grid
(:mod:`.results`), each written once; tables and the report are made of that folder alone, at any time.
"""

from __future__ import annotations

from .options import ExperimentOptions
from .results import Results, read_results
from .run import run_experiment

__all__ = ["ExperimentOptions", "Results", "read_results", "run_experiment"]

"""Experiments: methods × label fractions × repeats × data sets, and the tables, figures and report made of them.

An experiment is a YAML file (:mod:`.planning`). Running it (:mod:`.engine`) fills a folder with one result for each
cell of the grid (:mod:`.results`), each written once. Statistics (:mod:`.evidence`), tables and cards
(:mod:`.writing`), figures and the report are made of that folder alone, at any time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .options import ExperimentOptions
    from .results import Results, read_results
    from .run import run_experiment

__all__ = ["ExperimentOptions", "Results", "read_results", "run_experiment"]

# Loaded when first asked for: who reads results or makes tables needs no torch.
_HOME = {"ExperimentOptions": "options", "Results": "results", "read_results": "results", "run_experiment": "run"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Evaluation: metrics with intervals, restoration quality, figures, and one self-contained report.

Importing this package loads NumPy and torch only; scikit-learn, scikit-image, matplotlib and Jinja2 are loaded when an
evaluation needs them.
"""

from __future__ import annotations

from .bootstrap import Comparison, Difference, GroupBootstrap, Interval, compare_classifiers
from .config import EvaluateConfig, EvaluationResult
from .evaluate import evaluate
from .metrics import METRIC_KEYS, METRICS, Confusion, MetricValue, binary_metrics, confusion, weighted_metrics
from .restoration import RestorationResult, RestorationScores, RestorationTestSet

__all__ = [
    "METRICS",
    "METRIC_KEYS",
    "Comparison",
    "Confusion",
    "Difference",
    "EvaluateConfig",
    "EvaluationResult",
    "GroupBootstrap",
    "Interval",
    "MetricValue",
    "RestorationResult",
    "RestorationScores",
    "RestorationTestSet",
    "binary_metrics",
    "compare_classifiers",
    "confusion",
    "evaluate",
    "weighted_metrics",
]

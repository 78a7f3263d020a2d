"""Pictures and charts of an experiment: the paper's figures 5 and 7 to 11, and its results with every repeat shown.

The modules with charts and sheets take plain numbers and pictures; :mod:`.make` finds them in an experiment's folder.
"""

from .make import NO_REAL_LESIONS, ExperimentFigures, experiment_figures

__all__ = ["NO_REAL_LESIONS", "ExperimentFigures", "experiment_figures"]

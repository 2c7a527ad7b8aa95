"""From a finished run to its predictions, results.json and report.html."""

from osler.evaluation.answers import number_groups
from osler.evaluation.confusions import Confusions, count_confusions
from osler.evaluation.measurement import load_metrics
from osler.evaluation.report import LEVEL, perturbation_label, reliability_tables, subgroup_rows
from osler.evaluation.results import MIN_SUBGROUP, VALIDATION

__all__ = [
    "LEVEL",
    "MIN_SUBGROUP",
    "VALIDATION",
    "Confusions",
    "count_confusions",
    "evaluation",
    "load_metrics",
    "number_groups",
    "parity",
    "perturbation_label",
    "prediction",
    "reliability_tables",
    "report",
    "results",
    "subgroup_rows",
    "summary",
]

"""From a finished run to its predictions, results.json and report.html."""

from osler.evaluation.confusions import Confusions, count_confusions
from osler.evaluation.fusion import VALIDATION
from osler.evaluation.measurement import load_metrics
from osler.evaluation.report import perturbation_label
from osler.evaluation.results import MIN_SUBGROUP
from osler.evaluation.section import reliability_tables, subgroup_rows
from osler.evaluation.subgroup_gaps import SubgroupGap, subgroup_gaps
from osler.evaluation.summary import LEVEL
from osler.evaluation.systems import SYSTEMS

__all__ = [
    "LEVEL",
    "MIN_SUBGROUP",
    "SYSTEMS",
    "VALIDATION",
    "Confusions",
    "SubgroupGap",
    "count_confusions",
    "evaluation",
    "fusion",
    "load_metrics",
    "parity",
    "perturbation_label",
    "prediction",
    "reliability_tables",
    "report",
    "results",
    "second_opinion",
    "stream",
    "subgroup_gaps",
    "subgroup_rows",
    "summary",
]

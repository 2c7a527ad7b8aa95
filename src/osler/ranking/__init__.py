"""Every Mendelian disease ranked for a patient's findings, with a probability and the evidence for each."""

from osler.ranking.disease_index import DiseaseIndex
from osler.ranking.evidence import Evidence, Match, evidence
from osler.ranking.rankers import RANKERS, Rankers, ranks, z_scores

__all__ = ["RANKERS", "DiseaseIndex", "Evidence", "Match", "Rankers", "evidence", "ranks", "z_scores"]

"""What a language model has to beat: one module a baseline, called as recipes call it."""

from osler.baselines.baseline import Baseline, Ranking, load_baseline

__all__ = ["Baseline", "Ranking", "load_baseline"]

"""A trained model that others can ask: calibrated answers, over HTTP or from the command line."""

from osler.serving.access import new_key
from osler.serving.diagnosis import Diagnosis, ModelName, RankedLabel
from osler.serving.model import ServedModel, load_models
from osler.serving.running import open_server

__all__ = ["Diagnosis", "ModelName", "RankedLabel", "ServedModel", "load_models", "new_key", "open_server"]

"""A trained model that others can ask: calibrated answers, over HTTP or from the command line."""

from osler.serving import all_diseases, explained
from osler.serving.access import new_key
from osler.serving.diagnosis import Diagnosis, ModelName, RankedLabel, render_lines
from osler.serving.files import answer_file
from osler.serving.model import ServedModel, check_served, load_models
from osler.serving.requests import EXAMPLE, EXAMPLE_IS, MAX_BATCH, TOP, whole_characters
from osler.serving.running import listen, open_server

__all__ = [
    "EXAMPLE",
    "EXAMPLE_IS",
    "MAX_BATCH",
    "TOP",
    "Diagnosis",
    "ModelName",
    "RankedLabel",
    "ServedModel",
    "all_diseases",
    "answer_file",
    "check_served",
    "explained",
    "listen",
    "load_models",
    "new_key",
    "open_server",
    "page",
    "render_lines",
    "shield",
    "whole_characters",
]

"""A run as other software can ask it: merged, GGUF, ONNX or OpenVINO, each proven to answer as the evaluated model.

A *form* is what can be made: a format and its precision. A *writer* makes it of the merged model, a *runtime* loads it
and gives logits, in a process of its own. Its answers to the held-out cases are *compared* with the evaluated model's;
what is not that model is not kept. *Commands* start it elsewhere, and an *endpoint* asks what was started.
"""

from osler.export.artefact import export
from osler.export.forms import FORMS, Form, form_named
from osler.export.served import serving_figures

__all__ = ["FORMS", "Form", "export", "form_named", "serving_figures"]

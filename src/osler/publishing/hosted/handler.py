"""What Hugging Face Inference Endpoints call: texts in, diagnoses with probabilities out. Research use only.

{"inputs": "a text, or a list of texts", "parameters": {"top_k": 5}} → an answer, or a list of answers, as /diagnose
gives them. What is wrong is said without quoting the text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.serving import MAX_BATCH, TOP, load_models, whole_characters

MODEL = Path(__file__).with_name("model.txt").read_text(encoding="utf-8").strip()


class EndpointHandler:
    """The published version that ``model.txt`` names, with its hashes checked."""

    def __init__(self, path: str = "") -> None:
        (self.model,) = load_models([MODEL]).values()

    def __call__(self, data: dict[str, Any]) -> Any:
        """Answer a request. Raises :class:`InputError` where it is none."""
        inputs, parameters = data.get("inputs"), data.get("parameters") or {}
        texts = [inputs] if isinstance(inputs, str) else inputs
        if (
            not isinstance(texts, list)
            or not 0 < len(texts) <= MAX_BATCH
            or not all(isinstance(one, str) for one in texts)
        ):
            raise InputError(f"inputs: a text, or a list of 1 to {MAX_BATCH} texts")
        top = parameters.get("top_k", TOP) if isinstance(parameters, dict) else None
        if type(top) is not int or top < 1:
            raise InputError("parameters: top_k alone, a number from 1 on")
        try:
            asked = [self.model.encode(whole_characters(text)) for text in texts]
        except ValueError as error:
            raise InputError(f"inputs: {error}") from None
        answers = self.model.answer(asked, top)
        told = [answer.model_dump(mode="json") for answer in answers]
        return told[0] if isinstance(inputs, str) else told

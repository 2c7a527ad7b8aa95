"""``about.yaml``: what of a model card only its author knows."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osler.errors import InputError, one_line, show
from osler.recipe import Problem, TaskFile, check_keys, read_yaml

# An invented patient, for the code that shows how to ask; `example` of about.yaml puts another in his place.
EXAMPLE = "The patient is short and has a heart murmur and widely spaced eyes."
WITH_IMAGE = "Chest radiograph of a patient with a cough."  # what is said of an image
QUESTION = "A 60-year-old man has crushing chest pain and sweats. What is the most likely diagnosis?"
OFFERED = ("Heartburn", "Myocardial infarction", "Panic attack", "Rib fracture", *(f"Answer {n}" for n in range(5, 11)))


@dataclass(frozen=True)
class About:
    """The keys of the file, none of them required: of what is left out, the card says that nobody has said it."""

    developer: str | None = None
    contact: str | None = None
    release_date: str | None = None
    intended_use: str | None = None  # this and the next two are said after what every card says
    intended_users: str | None = None
    out_of_scope: str | None = None
    target_population: str | None = None
    clinical_risk_level: str | None = None
    biases: str | None = None
    bias_mitigation: str | None = None
    input_data_source: str | None = None
    maintenance: str | None = None
    security: str | None = None
    funding: str | None = None
    ehr_compatibility: list[str] | None = None
    third_parties: str | None = None
    stakeholders: str | None = None
    clinical_trial: str | None = None
    publications: list[str] | None = None
    reimbursement: str | None = None
    patient_consent: str | None = None
    citation: str | None = None
    power_watts: float | None = None  # of the whole machine while it trained
    example: str | None = None  # an invented patient, or question, for the code in the card
    language: list[str] | None = None  # ISO 639 codes of what it reads and writes; English where nobody says
    license_name: str | None = None  # both are needed where the recipe says `publish.license: other`
    license_link: str | None = None


def read_about(path: Path | None) -> dict[str, Any]:
    """The content of an ``about.yaml``; nothing where there is no file.

    Raises :class:`InputError` for an unknown key (with the nearest valid one), a value of the wrong type, a power that
    is none, a licence's link that is no web address, text or a list that says nothing, and an address that is nobody's.
    The texts are shown as they are: the card escapes what would be markup.
    """
    if path is None:
        return {}
    content = read_yaml(path)
    try:
        check_keys(content, typing.get_type_hints(About), set())
        for key, value in content.items():
            texts = value if isinstance(value, list) else [value]
            if not texts or any(isinstance(text, str) and not text.strip() for text in texts):
                raise Problem(key, "says nothing; leave the key out: the card then says that nobody has said it")
            for text in (text for text in texts if isinstance(text, str)):
                if re.search(r"\bexample\.(com|net|org)\b", text):  # RFC 2606: nobody's
                    raise Problem(key, "names an example's address; write your own, or leave the key out")
        if not re.match("https?://", content.get("license_link") or "https://"):
            raise Problem("license_link", f"{show(content['license_link'])} is no address; it begins with https://")
        if (watts := content.get("power_watts")) is not None and watts <= 0:
            raise Problem("power_watts", f"{watts} is out of range; allowed: > 0")
    except Problem as problem:
        raise InputError(one_line(f"{path}: {problem.key}: {problem.text}")) from None
    return {key: value for key, value in content.items() if value is not None}


def example_for(task: TaskFile, about: Mapping[str, Any]) -> str:
    """What the code of a card puts to a model of ``task``."""
    invented = QUESTION if task.scorer == "multiple_choice" else WITH_IMAGE if task.source.has_images else EXAMPLE
    return str(about.get("example", invented))

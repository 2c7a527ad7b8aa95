"""From an export to clean, split, de-identified data with a report, a card, a task and a recipe."""

from osler.preparation.cleaning_steps import DEFAULT_STEPS, parse_steps
from osler.preparation.datatrove_tasks import Datatrove
from osler.preparation.deidentification.identifiers import TYPES, Identifier
from osler.preparation.deidentification.key_file import read_key
from osler.preparation.preparation import OUTPUT_FILES, prepare
from osler.preparation.pseudonyms import load_deidentifier, unlinked
from osler.preparation.readers.fhir_patient import FhirPatient, read_patient
from osler.preparation.readers.files import read_files, read_note
from osler.preparation.readers.reading import read
from osler.preparation.readers.record import Columns, RawRow, RejectedRow
from osler.preparation.settings import PreparationSettings
from osler.preparation.workspace import check_apart

__all__ = [
    "DEFAULT_STEPS",
    "OUTPUT_FILES",
    "TYPES",
    "Columns",
    "Datatrove",
    "FhirPatient",
    "Identifier",
    "PreparationSettings",
    "RawRow",
    "RejectedRow",
    "check_apart",
    "dataset_card",
    "load_deidentifier",
    "options",
    "parse_steps",
    "prepare",
    "read",
    "read_files",
    "read_key",
    "read_note",
    "read_patient",
    "report_page",
    "scaffold",
    "task_rows",
    "unlinked",
]

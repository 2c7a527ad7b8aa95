"""From YAML to a typed, frozen recipe or task file: strict reading, the installed libraries' types, rules, licences."""

from osler.recipe.image_section import ImageTextSource
from osler.recipe.installed_types import settings_table
from osler.recipe.loading import load_recipe
from osler.recipe.recipe import Recipe
from osler.recipe.sections import (
    BASELINES,
    FINDINGS_BASELINES,
    FUSED,
    FUSIBLE,
    TEXT_BASELINES,
    AugmentSection,
    BackTranslationSection,
    BaseSection,
    DataSection,
    MixtureSection,
    TranslatorSection,
)
from osler.recipe.setting_rules import check_installed
from osler.recipe.source_sections import (
    BenchmarkSource,
    CorpusSource,
    DatasetSource,
    DifferentialSource,
    PhenopacketSource,
    PinnedFile,
    PreparedSource,
    Shares,
    SimulatedSource,
    SplitFile,
)
from osler.recipe.strict_yaml import dump_yaml, read_yaml
from osler.recipe.task_file import TaskFile, TerminologySection, find_tasks, read_task
from osler.recipe.task_texts import COMMIT
from osler.recipe.type_check import Problem, check, check_keys

__all__ = [
    "BASELINES",
    "COMMIT",
    "FINDINGS_BASELINES",
    "FUSED",
    "FUSIBLE",
    "TEXT_BASELINES",
    "AugmentSection",
    "BackTranslationSection",
    "BaseSection",
    "BenchmarkSource",
    "CorpusSource",
    "DataSection",
    "DatasetSource",
    "DifferentialSource",
    "ImageTextSource",
    "MixtureSection",
    "PhenopacketSource",
    "PinnedFile",
    "PreparedSource",
    "Problem",
    "Recipe",
    "Shares",
    "SimulatedSource",
    "SplitFile",
    "TaskFile",
    "TerminologySection",
    "TranslatorSection",
    "check",
    "check_installed",
    "check_keys",
    "dump_yaml",
    "find_tasks",
    "licences",
    "load_recipe",
    "read_task",
    "read_yaml",
    "settings_table",
]

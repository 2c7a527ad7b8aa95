"""From YAML to a typed, frozen recipe or task file: strict reading, the installed libraries' types, rules, licences."""

from osler.recipe.image_section import ImageTextSource
from osler.recipe.installed_types import settings_table
from osler.recipe.loading import load_recipe
from osler.recipe.recipe import Recipe
from osler.recipe.search_rules import judged_by
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
    PreferencesSection,
    SearchRange,
    SearchSection,
    TeacherSection,
    TranslatorSection,
)
from osler.recipe.setting_rules import check_installed, trackers_of
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
from osler.recipe.type_check import Problem, check, check_keys, overlap

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
    "PreferencesSection",
    "PreparedSource",
    "Problem",
    "Recipe",
    "SearchRange",
    "SearchSection",
    "Shares",
    "SimulatedSource",
    "SplitFile",
    "TaskFile",
    "TeacherSection",
    "TerminologySection",
    "TranslatorSection",
    "check",
    "check_installed",
    "check_keys",
    "dump_yaml",
    "find_tasks",
    "judged_by",
    "licences",
    "load_recipe",
    "overlap",
    "read_task",
    "read_yaml",
    "settings_table",
    "trackers_of",
]

"""From YAML to a typed, frozen recipe or task file: strict reading, the installed libraries' types, rules."""

from osler.recipe.image_section import ImageTextSource
from osler.recipe.installed_types import installed
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
from osler.recipe.setting_rules import TRACKERS, trackers_of
from osler.recipe.source_sections import (
    BenchmarkSource,
    CorpusSource,
    DatasetSource,
    DifferentialSource,
    PhenopacketSource,
    PinnedFile,
    PreparedSource,
    QuestionSource,
    Shares,
    SimulatedSource,
    SplitFile,
)
from osler.recipe.strict_yaml import dump_yaml, read_yaml
from osler.recipe.task_file import TaskFile, TerminologySection, find_tasks, read_task
from osler.recipe.task_texts import COMMIT
from osler.recipe.type_check import Problem, check, check_keys, overlap
from osler.recipe.verdicts import verdict

__all__ = [
    "BASELINES",
    "COMMIT",
    "FINDINGS_BASELINES",
    "FUSED",
    "FUSIBLE",
    "TEXT_BASELINES",
    "TRACKERS",
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
    "QuestionSource",
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
    "check_keys",
    "dump_yaml",
    "find_tasks",
    "installed",
    "judged_by",
    "load_recipe",
    "overlap",
    "read_task",
    "read_yaml",
    "trackers_of",
    "verdict",
]

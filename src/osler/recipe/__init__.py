"""From a YAML file to a typed, frozen recipe: strict reading, the types of the installed libraries, rules, licences."""

from osler.recipe.loading import load_recipe
from osler.recipe.recipe import Recipe
from osler.recipe.rules import COMMIT
from osler.recipe.sections import (
    OF_FINDINGS,
    OF_TEXT,
    BackTranslationSection,
    BaseSection,
    DataSection,
    MixtureSection,
    TranslatorSection,
)
from osler.recipe.strict_yaml import dump_yaml, read_yaml
from osler.recipe.task_file import find_tasks
from osler.recipe.type_check import Problem, check, check_keys

__all__ = [
    "COMMIT",
    "OF_FINDINGS",
    "OF_TEXT",
    "BackTranslationSection",
    "BaseSection",
    "DataSection",
    "MixtureSection",
    "Problem",
    "Recipe",
    "TranslatorSection",
    "check",
    "check_keys",
    "dump_yaml",
    "find_tasks",
    "licences",
    "load_recipe",
    "read_yaml",
]

"""Every setting of the installed TRL and PEFT is honoured, owned or refused, and says why."""

from __future__ import annotations

import dataclasses
import re

from project import ROOT

from osler.recipe import installed_types, verdicts

SECTIONS = ("train", "lora")
KEYS = [f"{name}.{item.name}" for name in SECTIONS for item in dataclasses.fields(installed_types.installed(name))]


def test_every_setting_has_a_verdict_of_one_line() -> None:
    for key in KEYS:
        found = verdicts.verdict(key)
        assert found is not None, f"a new setting: look what it does in our trainer, and give {key} a verdict"
        assert len(found.reason.splitlines()) == 1, key
        assert (verdicts.refusal(key) is None) == (found.kind == "honoured"), key


def test_a_recipe_may_set_what_is_honoured_and_nothing_else() -> None:
    may = {f"{name}.{item.name}" for name in SECTIONS for item in dataclasses.fields(installed_types.settings(name))}
    deprecated = {f"train.{old}" for old in installed_types.RENAMED}
    assert may == (verdicts.HONOURED.keys() & set(KEYS)) - deprecated | (may & deprecated)


def test_no_setting_has_two_verdicts() -> None:
    for key in verdicts.HONOURED:
        assert not [pattern for pattern in (*verdicts.OWNED, *verdicts.REFUSED) if re.fullmatch(pattern, key)], key


def test_the_page_of_settings_names_every_key() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [key for key in KEYS if f"| `{key}` |" not in page] == []

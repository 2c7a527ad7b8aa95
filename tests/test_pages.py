"""What README.md and docs/ say of the repository is so, and the site that is made of them has no broken link."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from project import ROOT
from test_layers import LAYERS, PACKAGES, SRC

DOCS = ROOT / "docs"
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")
DECISIONS = sorted(path for path in (DOCS / "decisions").glob("*.md") if path.name != "README.md")


def test_the_readme_is_read_in_five_minutes() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1200
    assert len(re.findall(r"!\[.+?\]\(.+?\)", text)) == 1, "one picture, with a text alternative"


def test_architecture_shows_the_layers_and_what_each_package_says_of_itself() -> None:
    assert f"```text{LAYERS}```" in ARCHITECTURE
    shown = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", ARCHITECTURE, re.MULTILINE))
    for package in PACKAGES:
        text = ast.get_docstring(ast.parse((SRC / package / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert shown.pop(package, None) == text.splitlines()[0], package
    assert not shown


@pytest.mark.parametrize(
    ("walk", "most"),
    [
        ("From YAML to the optimizer", 5),
        ("From `evaluation.scorer` to a probability", 6),
        ("From a case to `results.json`", 8),
    ],
)
def test_a_walk_through_the_code_is_short_and_names_what_is_there(walk: str, most: int) -> None:
    section = ARCHITECTURE.split(f"## {walk}\n")[1].split("\n## ")[0]
    steps = re.findall(r"^\d+\. `([^`]+)`, ([^:]+):", section, re.MULTILINE)
    assert 0 < len(steps) <= most
    for path, names in steps:
        source = (ROOT / path).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^ *(def|class) {name}\b", source, re.MULTILINE), f"{path} has no {name}"


def test_every_decision_has_a_date_and_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    for path in DECISIONS:
        sections = path.read_text(encoding="utf-8").split("\n## ")[1:]
        assert sections, path
        for section in sections:
            title, _, rest = section.partition("\n")
            assert re.match(r"\n\*20\d\d-\d\d-\d\d\*\n\n\S", rest), f"{path.name}: {title}: a date below the title"
            assert f"[{title}]({path.name}#" in index, f"{path.name}: {title}: not in docs/decisions/README.md"


def test_the_recall_of_de_identification_is_the_one_that_was_measured() -> None:
    decisions = (DOCS / "decisions" / "preparation.md").read_text(encoding="utf-8")
    recall = re.search(r"its recall was\s+(\S+)\s+and\s+(\S+):", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert recall
    assert f"on first look recall was {recall[1]} on the second and {recall[2]} on the third" in decisions


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.stem)
def test_an_issue_form_has_what_the_hub_of_issues_asks_for(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem != "config":
        assert {"name", "description", "body"} <= form.keys()
        assert all(field["type"] == "markdown" or field["attributes"]["label"] for field in form["body"])


def test_the_site_builds_and_a_link_or_anchor_that_leads_nowhere_ends_it(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the extra `docs` is not installed")
    for name in ("Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "LICENSE"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    for name in ("docs", "recipes", "tasks", "accelerate_configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    command = ["make", "docs", "-o", "install", f"MKDOCS={sys.executable} -m mkdocs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "build/site/docs/tutorial/index.html").is_file()
    page = (tmp_path / "build/site/index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]+\.(?:css|js|woff2?)', page), "nothing from other servers"

    with (tmp_path / "README.md").open("a") as readme:
        readme.write("[nowhere](docs/tutorial.md#nowhere)\n")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "does not contain an anchor '#nowhere'" in done.stdout + done.stderr

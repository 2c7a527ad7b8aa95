"""The files around the package: what setup.cfg promises, constraints.txt pins and accelerate reads."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import launch_command_parser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from project import ROOT

ACCELERATE = sorted((ROOT / "accelerate_configs").glob("*.yaml"))


def requirements(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def tested() -> dict[str, str]:
    """The versions in constraints.txt."""
    found = {}
    for requirement in requirements((ROOT / "constraints.txt").read_text()):
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        found[canonicalize_name(requirement.name)] = specifier.version
    return found


def test_the_ranges_admit_the_tested_versions(setup: configparser.ConfigParser, tested: dict[str, str]) -> None:
    promised = requirements(setup["options"]["install_requires"])
    for requirement in promised + requirements(setup["options.extras_require"]["dev"]):
        version = tested[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} excludes the tested {version}"


def test_every_range_ends_before_the_next_major_version_and_says_why(setup: configparser.ConfigParser) -> None:
    for requirement in requirements(setup["options"]["install_requires"]):
        assert {specifier.operator for specifier in requirement.specifier} == {">=", "<"}, requirement
    lines = (ROOT / "setup.cfg").read_text().split("install_requires =\n")[1].split("\n\n")[0].splitlines()
    for reason, requirement in zip(lines[::2], lines[1::2], strict=True):
        assert reason.startswith("    # "), f"no reason above {requirement.strip()}"


def test_no_version_is_pinned_to_a_build_that_only_one_index_has(tested: dict[str, str]) -> None:
    assert not [f"{name}=={version}" for name, version in tested.items() if Version(version).local]


def test_every_file_of_the_package_is_in_its_wheel(setup: configparser.ConfigParser) -> None:
    package = ROOT / "src" / "osler"
    patterns = setup["options.package_data"]["osler"].split()
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    packed |= {path for init in package.rglob("__init__.py") for path in init.parent.glob("*.py")}
    there = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert sorted(map(str, there - packed)) == []


def test_a_citation_and_the_package_agree_on_version_and_licence(setup: configparser.ConfigParser) -> None:
    import osler

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == osler.__version__
    assert citation["license"] == setup["metadata"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda path: path.stem)
def test_accelerate_knows_every_key(path: Path) -> None:
    config = load_config_from_file(str(path))  # refuses unknown keys at the top, and takes any below it
    assert isinstance(config, ClusterConfig)
    assert config.num_processes >= 1
    known = {action.dest for action in launch_command_parser()._actions}
    for table in (config.fsdp_config, config.deepspeed_config):
        assert set(table or {}) <= known, set(table or {}) - known


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda path: path.stem)
def test_a_config_opens_with_when_to_use_it_and_the_command(path: Path) -> None:
    when, command, rest = path.read_text().split("\n", 2)
    assert re.match(r"# [A-Z].{40,}", when)
    assert command.startswith(f"#   accelerate launch --config_file accelerate_configs/{path.name} ")
    assert command.endswith("scripts/train.py RECIPE")
    assert not rest.startswith("#")
    arguments = command.split("accelerate launch ")[1].replace("GPUS", "2").replace("RANK", "0").split()
    launch_command_parser().parse_args(arguments)


def test_sharded_checkpoints_keep_every_ranks_slice_of_an_adapter() -> None:
    """accelerate#4206: FULL_STATE_DICT kept one rank's slice; the fix is in the version that setup.cfg asks for."""
    config = yaml.safe_load((ROOT / "accelerate_configs" / "fsdp2_qlora.yaml").read_text())["fsdp_config"]
    assert config["fsdp_version"] == 2
    assert config["fsdp_state_dict_type"] == "SHARDED_STATE_DICT"


def test_launching_on_the_cpu_starts_one_process_without_mixed_precision(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from accelerate import Accelerator\n"
        "a = Accelerator()\nprint(a.num_processes, a.device.type, a.mixed_precision)\n"
    )
    command = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs" / "cpu.yaml")]
    run = subprocess.run([sys.executable, *command, str(script)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "1 cpu no"


@pytest.mark.parametrize("target", ["help", "install", "demo", "test", "quality", "docs", "clean"])
def test_make_has_the_targets_that_the_readme_names(target: str) -> None:
    run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip()


PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "recipes" / "README.md",
    *sorted((ROOT / "tasks").glob("*/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_on_a_page_names_a_script_and_options_that_exist(page: Path) -> None:
    commands = re.findall(r"((?:scripts|benchmarks)/\w+\.py)([^\n`#]*)", page.read_text(encoding="utf-8"))
    for script, arguments in commands:
        source = (ROOT / script).read_text(encoding="utf-8")
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", arguments):
            assert f'"{option}"' in source, f"{page.name}: {script} has no {option}"

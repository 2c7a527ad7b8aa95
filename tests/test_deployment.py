"""deployment/ and its page: what a container, Compose and Kubernetes are told fits the server that is there."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml
from project import ROOT

from osler.serving import running
from osler.serving.app import router
from osler.serving.batching import BATCH
from osler.serving.diagnosis import Diagnosis, ModelName
from osler.serving.metrics import Metrics

DEPLOYMENT = ROOT / "deployment"
KUBERNETES = DEPLOYMENT / "kubernetes"
MANIFESTS = sorted(path for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")
ROUTES = {route.path for route in router.routes}  # type: ignore[attr-defined]
SECONDS = 30  # of --seconds
END = running.DRAIN + SECONDS + 5  # until the last accepted request is answered, see osler.serving.running
DOCKERFILE = re.sub(r"\\\n\s*", "", (DEPLOYMENT / "Dockerfile").read_text())


def steps(name: str) -> list[str]:
    """The arguments of every instruction of that name in the Dockerfile."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def manifest(kind: str) -> dict[str, Any]:
    (found,) = [one for path in MANIFESTS for one in documents(path) if one["kind"] == kind]
    return found


def exported() -> set[str]:
    """The names of the samples at /metrics, after one of everything."""
    metrics = Metrics(lambda: 0, lambda: 0)
    metrics.requested("/diagnose", 200, 0.1)
    metrics.passed(1, 0.1)
    name = ModelName(name="m", version="1", recipe_sha256="", weights_sha256="")
    answer = Diagnosis(diagnoses=(), abstained=True, reason="", calibrated=True, warnings=("",), model=name)
    metrics.answered(answer, ())
    names = set(re.findall(r"^(osler_\w+)", metrics.render().decode(), re.MULTILINE))
    return names | {"osler_diagnoses_total"}  # there as soon as a label of the panel was first


# ── the image ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    lint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert lint is not None
    done = subprocess.run([lint, str(DEPLOYMENT / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("", 0)


def test_what_is_copied_is_there_and_let_in() -> None:
    copied = {name for step in steps("COPY") if not step.startswith("--from") for name in step.split()[:-1]}
    ignore = (DEPLOYMENT / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    assert copied == let_in
    assert "*" in ignore, "nothing else"
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_starts_the_server_with_keys_as_nobody_special() -> None:
    (entry,), (command,), (user,) = map(json.loads, steps("ENTRYPOINT")), map(json.loads, steps("CMD")), steps("USER")
    assert entry == ["python", "scripts/serve.py"]
    assert "scripts/serve.py scripts/serve.py" in steps("COPY")
    assert user.split(":")[0].isdecimal()
    assert user != "0:0"
    options = (ROOT / "scripts" / "serve.py").read_text()
    assert all(f'"{word}"' in options for word in command if word.startswith("--"))
    assert dict(zip(command[1::2], command[2::2], strict=True)).keys() >= {"--host", "--keys", "--audit"}
    (base,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"3\.\d+\.\d+-slim-\w+", base)
    assert {step.split()[0] for step in steps("FROM")} <= {"python:${PYTHON}", "source", "runtime"}
    assert all(
        "--only-binary :all: --constraint constraints.txt" in run for run in steps("RUN") if "pip install" in run
    )
    (asked,) = re.findall(r"127\.0\.0\.1:8000(/\w+)'", DOCKERFILE)
    assert asked in ROUTES


def test_an_option_that_the_image_gives_is_taken_by_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = map(json.loads, steps("CMD"))
    arguments = manifest("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    for given in (command, [str(argument) for argument in arguments]):
        monkeypatch.setattr(sys, "argv", ["serve.py", *given])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "scripts" / "serve.py"), run_name="__main__")
        # Parsed, and then there is no such file of keys here.
        assert (end.value.code, "keys" in capsys.readouterr().err) == (2, True)


# ── Compose ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_compose_listens_to_this_machine_alone_and_names_what_is_there() -> None:
    compose = yaml.safe_load((DEPLOYMENT / "compose.yaml").read_text())
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert ":" in service["image"]
        assert not service["image"].endswith(":latest")
        assert set(service["secrets"]) <= compose["secrets"].keys()
        for volume in service["volumes"]:
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            assert source in compose["volumes"] or source.startswith("${") or (DEPLOYMENT / source).is_file(), source
    server = compose["services"]["osler"]
    assert server["read_only"]
    assert (DEPLOYMENT / server["build"]["context"] / server["build"]["dockerfile"]).resolve().is_file()
    assert f" AS {server['build']['target']}" in DOCKERFILE
    assert float(server["stop_grace_period"].removesuffix("s")) > END
    assert int(server["environment"]["OMP_NUM_THREADS"]) == server["cpus"]
    secrets = [secret["file"] for secret in compose["secrets"].values()]
    ignored = subprocess.run(
        ["git", "check-ignore", *secrets, "kubernetes/keys.txt"], cwd=DEPLOYMENT, capture_output=True
    )
    assert len(ignored.stdout.splitlines()) == len(secrets) + 1, "no key gets into git"
    cuda = yaml.safe_load((DEPLOYMENT / "compose.cuda.yaml").read_text())
    assert f" AS {cuda['services']['osler']['build']['target']}" in DOCKERFILE


def test_prometheus_asks_the_server_with_its_key() -> None:
    (job,) = yaml.safe_load((DEPLOYMENT / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["osler:8000"]}]
    assert job["authorization"] == {"credentials_file": "/run/secrets/prometheus_key"}
    assert job.get("metrics_path", "/metrics") in ROUTES


def test_the_board_asks_for_metrics_that_there_are() -> None:
    board = json.loads((DEPLOYMENT / "grafana" / "osler.json").read_text())
    (source,) = yaml.safe_load((DEPLOYMENT / "grafana" / "datasource.yaml").read_text())["datasources"]
    known, asked = exported(), set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == source["uid"]
            question = re.sub(r"\$__(rate_interval|range)", "5m", target["expr"])
            promql_parser.parse(question)
            names = set(re.findall(r"\bosler_\w+", question))
            assert names <= known, f"{panel['title']}: {names - known}"
            asked |= names
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in known}
    shown = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked}
    assert shown == families, "every metric is on the board"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


# ── Kubernetes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_kubernetes_reads_the_manifests(path: Path, version: str) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, version, strict=True)


def test_kubernetes_would_refuse_a_misspelt_key() -> None:
    broken = manifest("Deployment")
    broken["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_the_kustomization_makes_what_the_manifests_name() -> None:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert {path.name for path in MANIFESTS} == {*kustomization["resources"], "fetch.yaml"}, "fetch.yaml is by hand"
    pod = manifest("Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (model,) = kustomization["configMapGenerator"]
    assert [literal.split("=")[0] for literal in model["literals"]] == ["MODEL"]
    reference = next(one for one in container["env"] if one["name"] == "MODEL")["valueFrom"]["configMapKeyRef"]
    assert reference == {"name": model["name"], "key": "MODEL"}
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    (keys,) = kustomization["secretGenerator"]
    assert volumes["keys"]["secret"]["secretName"] == keys["name"]
    claims = {one["metadata"]["name"] for one in documents(KUBERNETES / "volumes.yaml")}
    named = {v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v}
    assert named == claims
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    (image,) = kustomization["images"]
    assert image["name"] == container["image"]
    (fetching,) = manifest("Job")["spec"]["template"]["spec"]["containers"]
    assert fetching["image"] == f"{image['newName']}:{image['newTag']}"
    assert model["literals"] == [f"MODEL={fetching['args'][0]}"]
    labels = pod["metadata"]["labels"]
    assert manifest("Service")["spec"]["selector"] == labels
    for kind, key in (
        ("NetworkPolicy", "podSelector"),
        ("PodDisruptionBudget", "selector"),
        ("Deployment", "selector"),
    ):
        assert manifest(kind)["spec"][key] == {"matchLabels": labels}
    assert manifest("Namespace")["metadata"]["name"] == kustomization["namespace"]


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_pods_may_do_nothing_that_they_need_not(kind: str) -> None:
    """What the pod security standard `restricted` asks for, and a read-only root."""
    pod = manifest(kind)["spec"]["template"]["spec"]
    assert not pod["automountServiceAccountToken"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == steps("USER")[0]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


def test_pods_end_after_their_last_answer_and_are_asked_at_routes_there_are() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    arguments = container["args"]
    assert arguments[arguments.index("--seconds") + 1] == str(SECONDS)
    assert pod["terminationGracePeriodSeconds"] > container["lifecycle"]["preStop"]["sleep"]["seconds"] + END
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}
    assert set(probes.values()) <= ROUTES
    policy = manifest("NetworkPolicy")["spec"]
    assert (policy["egress"], policy["policyTypes"]) == ([], ["Ingress", "Egress"])


def test_the_autoscaler_looks_at_the_queue() -> None:
    (metric,) = manifest("HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert name in exported()
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": str(BATCH)}
    (rule,) = yaml.safe_load((KUBERNETES / "monitoring" / "adapter.yaml").read_text())["rules"]["custom"]
    assert rule["seriesQuery"].startswith(f"{name}{{")
    (endpoint,) = yaml.safe_load((KUBERNETES / "monitoring" / "servicemonitor.yaml").read_text())["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in manifest("Service")["spec"]["ports"]}


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_safeguard_of_the_page_has_its_file_and_its_test() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text()
    named = re.findall(r"`((?:src|tests|deployment|scripts)/[\w./-]+\.\w+)(?:::(\w+))?`", text)
    assert len([test for _, test in named if test]) > 10
    for path, test in named:
        assert (ROOT / path).is_file(), path
        assert not test or f"\ndef {test}(" in (ROOT / path).read_text(), f"{path}::{test}"

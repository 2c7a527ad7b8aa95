"""The files and calls that start a recipe elsewhere. Nothing is sent from here."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import Any

from osler.errors import InputError
from osler.recipe import Recipe, dump_yaml
from osler.rendering import render_template

PLACES = ("slurm", "kubernetes", "hf-jobs", "sagemaker")
# Python, torch and CUDA; the job installs Osler beside them.
IMAGE = "pytorch/pytorch:2.9.0-cuda12.8-cudnn9-devel"
REPOSITORY = "<git URL of your checkout>"
RUNS = "/runs"  # where what outlives a container is mounted
# By GPUs of a machine: huggingface_hub's JobHardware; https://aws.amazon.com/sagemaker/ai/pricing
FLAVORS = {1: "a100-large", 4: "a100x4", 8: "a100x8"}
INSTANCES = {1: "ml.g5.2xlarge", 4: "ml.g5.12xlarge", 8: "ml.p4d.24xlarge"}


@dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes:
        recipe: read from below the root of a checkout, where the job starts.
        overrides: of the recipe.
        output: the run folder, seen from there. It has to outlive the job.
        config: of accelerate_configs/.
        nodes, gpus: machines, and GPUs of each.
        hours: until the job is ended.
        grace_seconds: that it is told before.
    """

    recipe: Recipe
    overrides: tuple[str, ...]
    output: str
    config: str
    nodes: int = 1
    gpus: int = 1
    hours: int = 12
    grace_seconds: int = 180

    @property
    def name(self) -> str:
        """Of the job, as all of them allow it: lower case, digits, hyphens, at most 63 characters."""
        name = re.sub(r"[^a-z0-9]+", "-", f"{self.recipe.name}-{self.recipe.version}".lower())
        return name.strip("-")[:63].rstrip("-")

    @property
    def cpus(self) -> int:
        """Of a node."""
        return 8 * self.gpus

    @property
    def memory_gb(self) -> int:
        """Of a node's host."""
        return 64 * self.gpus

    def train_command(self, rank: str = "0", host: str = "localhost") -> str:
        """For the shell of one node; ``rank`` and ``host`` are what it reads there."""
        sizes = f"--num_processes {self.nodes * self.gpus}"
        if self.nodes > 1:
            sizes += f" --num_machines {self.nodes} --machine_rank {rank} --main_process_ip {host}"
        script = shlex.join(["scripts/train.py", str(self.recipe.path), *self.overrides, "--output", self.output])
        return f"accelerate launch --config_file {self.config} {sizes} {script}"

    @property
    def of_a_node(self) -> str:
        """What Slurm starts on each node, quoted. The launcher ignores the SIGTERM that its training takes."""
        return shlex.quote(f"trap '' TERM; {self.train_command('$SLURM_NODEID', '$host')}")

    @property
    def evaluate_command(self) -> str:
        """For one process, once training has ended."""
        return shlex.join(["python", "scripts/evaluate.py", self.output])

    def from_nothing(self, rank: str = "0", host: str = "localhost") -> str:
        """For the shell of a container: get Osler, train into a folder that outlives it and, on the first, evaluate.

        The shell is the container's first process, which has to hand SIGTERM on, and the launcher ignores it.
        """
        job = replace(self, output=f"{RUNS}/{self.output}")
        getting = f"git clone {shlex.quote(REPOSITORY)} osler && cd osler && pip install -e ."
        scoring = job.evaluate_command if self.nodes == 1 else f'if [ "{rank}" = 0 ]; then {job.evaluate_command}; fi'
        doing = f"trap '' TERM; {getting} && {job.train_command(rank, host)} && {scoring}"
        return f"trap 'kill -TERM -1' TERM; ({doing}) & wait $! || wait $!"


def written(job: Job, place: str) -> str:
    """The file, or the call, that starts ``job`` in one of :data:`PLACES`; what stands in <> is yours to fill in.

    Raises :class:`InputError` where the place has no such machines.
    """
    if place == "slurm":
        return render_template("launching/slurm.sbatch.jinja", job=job)
    made = {"kubernetes": train_job, "hf-jobs": hf_job, "sagemaker": training_job}[place](job)
    return dump_yaml(made)


def train_job(job: Job) -> dict[str, Any]:
    """A Kubeflow TrainJob on the runtime ``torch-distributed`` that Kubeflow ships, with a volume for the runs."""
    resources = {"nvidia.com/gpu": str(job.gpus), "cpu": str(job.cpus), "memory": f"{job.memory_gb}Gi"}
    pod = {
        "terminationGracePeriodSeconds": job.grace_seconds,
        "volumes": [{"name": "runs", "persistentVolumeClaim": {"claimName": "<claim for the runs>"}}],
        "containers": [{"name": "node", "volumeMounts": [{"name": "runs", "mountPath": RUNS}]}],
    }
    nodes = {"name": "node", "template": {"spec": {"template": {"spec": pod}}}}
    patch = {"manager": "osler/launch", "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [nodes]}}}}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": job.name},
        "spec": {
            "activeDeadlineSeconds": 3600 * job.hours,
            "runtimeRef": {"name": "torch-distributed"},
            "runtimePatches": [patch],
            "trainer": {
                "image": IMAGE,
                "command": ["bash", "-c"],
                "args": [job.from_nothing("$PET_NODE_RANK", "$PET_MASTER_ADDR")],
                "numNodes": job.nodes,
                "resourcesPerNode": {"requests": resources, "limits": resources},
            },
        },
    }


def hf_job(job: Job) -> dict[str, Any]:
    """The arguments of ``huggingface_hub.run_job``; each of ``volumes`` is a ``Volume``."""
    return {
        "image": IMAGE,
        "command": ["bash", "-c", job.from_nothing()],
        "flavor": _of_one_node(job, FLAVORS, "Hugging Face Jobs"),
        "timeout": f"{job.hours}h",
        "name": job.name,
        "volumes": [{"type": "bucket", "source": "<user/bucket for the runs>", "mount_path": RUNS}],
    }


def training_job(job: Job) -> dict[str, Any]:
    """The request ``CreateTrainingJob`` of SageMaker, which copies the runs to S3 while the job goes on."""
    return {
        "TrainingJobName": job.name,
        "AlgorithmSpecification": {
            "TrainingImage": "<image with torch, in your ECR>",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "-c"],
            "ContainerArguments": [job.from_nothing()],
        },
        "RoleArn": "<ARN of a role that may read and write the bucket>",
        "OutputDataConfig": {"S3OutputPath": "s3://<bucket>/osler"},
        "CheckpointConfig": {"S3Uri": "s3://<bucket>/osler/runs", "LocalPath": RUNS},
        "ResourceConfig": {
            "InstanceType": _of_one_node(job, INSTANCES, "SageMaker"),
            "InstanceCount": 1,
            "VolumeSizeInGB": 200,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600 * job.hours},
    }


def _of_one_node(job: Job, names: dict[int, str], place: str) -> str:
    if job.nodes > 1:
        raise InputError(f"--nodes {job.nodes}: {place} is asked for one machine here; take slurm or kubernetes")
    if job.gpus not in names:
        raise InputError(f"--gpus {job.gpus}: {place} has machines with {', '.join(map(str, names))} GPUs")
    return names[job.gpus]

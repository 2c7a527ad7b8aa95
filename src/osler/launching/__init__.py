"""A recipe as a job of a cluster or a service: Slurm, Kubernetes, Hugging Face Jobs, SageMaker."""

from osler.launching.job import PLACES, Job, written

__all__ = [
    "PLACES",
    "Job",
    "written",
]

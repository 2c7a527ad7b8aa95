"""The run directory: its files, its prediction lines, and the machine it was made on."""

from osler.runs.environment import describe_environment, peak_memory_bytes
from osler.runs.predictions import (
    Prediction,
    append_predictions,
    join_parts,
    open_part,
    read_parts,
    read_predictions,
    write_predictions,
)
from osler.runs.run import ADAPTER, MERGED, MERGED_FROM, Run, mark_complete, merged_name, tuned_name

__all__ = [
    "ADAPTER",
    "MERGED",
    "MERGED_FROM",
    "Prediction",
    "Run",
    "append_predictions",
    "describe_environment",
    "join_parts",
    "mark_complete",
    "merged_name",
    "open_part",
    "peak_memory_bytes",
    "read_parts",
    "read_predictions",
    "tuned_name",
    "write_predictions",
]

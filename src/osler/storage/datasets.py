"""Files of datasets: local copies below `$OSLER_DATA_DIR`, or the Hub at a pinned revision."""

from __future__ import annotations

import os
from pathlib import Path

from osler.errors import InputError
from osler.storage.hashes import sha256_file


def data_folder() -> Path | None:
    """``$OSLER_DATA_DIR``, the folder of local dataset copies; None where it is not set.

    Raises :class:`InputError` where it is set to something that is not a folder.
    """
    value = os.environ.get("OSLER_DATA_DIR")
    if not value:
        return None
    if not Path(value).is_dir():
        raise InputError(f"OSLER_DATA_DIR={value}: no such folder; unset it or name the folder of your local datasets")
    return Path(value)


def sha256_of_data(name: str) -> str | None:
    """The sha256 of the file ``name`` below :func:`data_folder`; None where it is not there. Raises as that does."""
    folder = data_folder()
    path = folder / name if folder else None
    return sha256_file(path) if path and path.is_file() else None


def hub_file(dataset: str, revision: str, name: str, local: str) -> Path:
    """A file of a dataset on the Hub at a pinned revision, from the local cache or downloaded.

    Raises :class:`InputError`, which names the ``local`` copy below ``$OSLER_DATA_DIR`` as a way out.
    """
    from huggingface_hub import hf_hub_download, logging
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it would warn of every try, and what came of them is said below
    try:
        return Path(hf_hub_download(dataset, name, repo_type="dataset", revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{dataset}@{revision}: {name} is not in the local cache and the Hub did not give it"
            f" ({type(error).__name__}); go online, or set OSLER_DATA_DIR to a folder that has {local}"
        ) from error
    finally:
        logging.set_verbosity(level)

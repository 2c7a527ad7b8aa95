#!/usr/bin/env python3
"""Fetch Phenopacket Store: the published patients of the task `phenopackets`.

    scripts/fetch_phenopackets.py --output ~/osler-data                                    download from GitHub
    scripts/fetch_phenopackets.py --output ~/osler-data --archive all_phenopackets.zip     read one you have

Exit status: 0 done, 2 the release cannot be downloaded or read. Needs the extra `phenopackets`, which `make install`
installs.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
from importlib.util import find_spec
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.patients import phenopacket_store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--release", default=phenopacket_store.RELEASE, metavar="TAG", help="release to download (%(default)s)"
    )
    source.add_argument("--archive", type=Path, metavar="FILE", help="the all_phenopackets.zip of a release")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where OSLER_DATA_DIR will point")
    arguments = parser.parse_args()
    if find_spec("ppktstore") is None:
        raise InputError("phenopacket-store-toolkit is not installed: pip install --editable '.[phenopackets]'")
    with tempfile.TemporaryDirectory() as folder:
        archive = arguments.archive
        if archive is None:
            print(f"downloading {phenopacket_store.release_url(arguments.release)} (about 20 MB)", flush=True)
            archive = phenopacket_store.download_release(arguments.release, Path(folder))
        individuals = phenopacket_store.read_release(archive)
    path = arguments.output / "phenopacket_store" / "cases.jsonl.gz"
    phenopacket_store.write_individuals(individuals, path)
    diseases = {individual["disease_id"] for individual in individuals}
    publications = {publication for individual in individuals for publication in individual["references"]}
    print(
        f"{path}: {len(individuals):,} individuals, {len(diseases):,} diseases, {len(publications):,} publications,"
        f" {path.stat().st_size / 1000:,.0f} kB"
    )
    print(f"export OSLER_DATA_DIR={shlex.quote(str(arguments.output.resolve()))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))

#!/usr/bin/env python3
"""Get Phenopacket Store: the published patients of the splits `phenopackets…`, and of `data.real_repeats`.

    scripts/fetch_phenopackets.py --output ~/osler-data                                    downloads from GitHub
    scripts/fetch_phenopackets.py --output ~/osler-data --archive all_phenopackets.zip     reads one you have

Exit status: 0 done, 2 the release cannot be had or read. Needs the extra `phenopackets` (`make install` has it).
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
    source.add_argument("--archive", type=Path, metavar="FILE", help="all_phenopackets.zip of a release")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for OSLER_DATA_DIR")
    arguments = parser.parse_args()
    if find_spec("ppktstore") is None:
        raise InputError("phenopacket-store-toolkit is not installed: pip install --editable '.[phenopackets]'")
    with tempfile.TemporaryDirectory() as folder:
        archive = arguments.archive
        if archive is None:
            print(f"downloading {phenopacket_store.address(arguments.release)} (about 20 MB)", flush=True)
            archive = phenopacket_store.download(arguments.release, Path(folder))
        individuals = phenopacket_store.read(archive)
    store = arguments.output / "phenopacket_store" / "cases.jsonl.gz"
    phenopacket_store.write(individuals, store)
    diseases = {individual["disease_id"] for individual in individuals}
    publications = {publication for individual in individuals for publication in individual["references"]}
    print(
        f"{store}: {len(individuals):,} individuals, {len(diseases):,} diseases, {len(publications):,} publications,"
        f" {store.stat().st_size / 1000:,.0f} kB"
    )
    print(f"export OSLER_DATA_DIR={shlex.quote(str(arguments.output.resolve()))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))

#!/usr/bin/env python3
"""Serve runs, or published versions, over HTTP: POST /diagnose {"text": "…"} → ranked diagnoses with probabilities.

python scripts/serve.py runs/<name>/<version>                       # http://127.0.0.1:8000, and a page to try it
python scripts/serve.py USER/NAME@v1.0.0 --host 0.0.0.0 --keys keys.txt
python scripts/serve.py --new-key "ward 7"                          # prints a key, and its line for keys.txt

Only a run with results is served: its probabilities are calibrated, and it abstains, as its evaluation measured. With
several runs, ?model=NAME says which answers; adapters of one base share it. No text is logged. Research use only.
Clinical systems ask at /fhir/$diagnose (FHIR R4) and /cds-services (CDS Hooks 2.0): docs/how-to/connect-an-ehr.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from osler.errors import InputError, exit_status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="a run directory, or USER/NAME@vX on the Hub")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="0 for a free one (default: %(default)s)")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="NAME:SHA256 lines of API keys; or $OSLER_API_KEYS")
    parser.add_argument("--new-key", metavar="NAME", help="print a new key and its line, and do nothing else")
    parser.add_argument("--oidc-issuer", metavar="URL", help="also take tokens of this OpenID provider")
    parser.add_argument("--oidc-audience", metavar="NAME", help="whom these tokens have to be for")
    parser.add_argument("--cds-url", metavar="URL", help="where EHRs call it: what stands before /cds-services")
    parser.add_argument("--cds-issuer", nargs="+", default=[], metavar="ISS=URL", help="an EHR, and where its keys are")
    parser.add_argument("--audit", type=Path, metavar="FOLDER", help="note who asked when and the answer, without text")
    parser.add_argument("--audit-days", type=int, default=180, metavar="N", help="keep that for N days (default: 180)")
    parser.add_argument("--store", metavar="URL", help="keep answers and feedback: a file, or postgresql://…")
    parser.add_argument("--keep-text", action="store_true", help="in both of these: texts, too, de-identified")
    parser.add_argument("--cors", nargs="+", default=[], metavar="ORIGIN", help="pages elsewhere whose scripts may ask")
    parser.add_argument("--seconds", type=float, default=30, metavar="N", help="to answer in (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.new_key:
        from osler.serving import new_key

        key, line = new_key(arguments.new_key)
        print(
            f"the key, for whoever asks; it is not kept: {key}\nthe line for the file of --keys, on stdout:",
            file=sys.stderr,
        )
        print(line)
        return 0
    if not arguments.runs:
        raise InputError("name a run directory, or USER/NAME@vX")
    if bool(arguments.oidc_issuer) != bool(arguments.oidc_audience):
        raise InputError("--oidc-issuer and --oidc-audience go together: a token for somebody else is not taken")
    if arguments.keep_text and not (arguments.audit or arguments.store):
        raise InputError("--keep-text goes with --audit FOLDER or --store URL")
    from osler.serving import open_server  # heavy: --help need not wait for it

    return open_server(
        arguments.runs,
        host=arguments.host,
        port=arguments.port,
        keys=arguments.keys,
        issuer=arguments.oidc_issuer,
        audience=arguments.oidc_audience,
        cds_url=arguments.cds_url,
        cds_issuers=arguments.cds_issuer,
        audit=arguments.audit,
        audit_days=arguments.audit_days,
        keep_text=arguments.keep_text,
        store=arguments.store,
        origins=arguments.cors,
        seconds=arguments.seconds,
    )


if __name__ == "__main__":
    raise SystemExit(exit_status(main))

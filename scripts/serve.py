#!/usr/bin/env python3
"""Serve runs, or published versions, over HTTP: POST /diagnose {"text": "…"} → ranked diagnoses with probabilities.

python scripts/serve.py runs/<name>/<version>                       # http://127.0.0.1:8000, and a page to try it
python scripts/serve.py USER/NAME@v1.0.0 --host 0.0.0.0 --keys keys.txt
python scripts/serve.py --new-key ward-7                            # prints a key, and its line for keys.txt

Only an evaluated run is served, with the calibration and the threshold for abstaining that its evaluation found. With
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
    parser.add_argument(
        "--host", default="127.0.0.1", help="127.0.0.1: only this machine may ask (default); 0.0.0.0: any"
    )
    parser.add_argument("--port", type=int, default=8000, help="the port; 0 takes a free one (default: %(default)s)")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="API keys: lines of --new-key; or set OSLER_API_KEYS")
    parser.add_argument("--new-key", metavar="NAME", help="make an API key, print it and its line for --keys, and end")
    parser.add_argument("--oidc-issuer", metavar="URL", help="let in users of this OpenID provider")
    parser.add_argument("--oidc-audience", metavar="NAME", help="the audience that their tokens must name")
    parser.add_argument("--cds-url", metavar="URL", help="the address that EHRs call, without /cds-services")
    parser.add_argument(
        "--cds-issuer", nargs="+", default=[], metavar="ISS=URL", help="an EHR: its issuer, the URL of its keys"
    )
    parser.add_argument(
        "--audit", type=Path, metavar="FOLDER", help="log who asked when, and the first answer; no text"
    )
    parser.add_argument(
        "--audit-days", type=int, default=180, metavar="N", help="delete log entries after N days (default: 180)"
    )
    parser.add_argument("--store", metavar="URL", help="keep answers and feedback: a file, or postgresql://…")
    parser.add_argument("--shadow", metavar="RUN", help="with --store: ask this run, too, and keep its answers unseen")
    parser.add_argument("--keep-text", action="store_true", help="in both of these: texts, too, de-identified")
    parser.add_argument("--cors", nargs="+", default=[], metavar="ORIGIN", help="let web pages of these origins ask")
    parser.add_argument(
        "--seconds",
        type=float,
        default=30,
        metavar="N",
        help="give up on a request after N seconds (default: %(default)s)",
    )
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
    if arguments.shadow and not arguments.store:
        raise InputError("--shadow goes with --store URL: nobody sees its answers but who reads the store")
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
        shadow=arguments.shadow,
        origins=arguments.cors,
        seconds=arguments.seconds,
    )


if __name__ == "__main__":
    raise SystemExit(exit_status(main))

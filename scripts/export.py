#!/usr/bin/env python3
"""Convert a run's model for other software, and check that it answers the held-out cases as the evaluated one did.

scripts/export.py RUN --to merged
scripts/export.py RUN --to gguf [--quantization f16|q8_0|q4_k_m]
scripts/export.py RUN --to onnx [--quantization fp32|int8]
scripts/export.py RUN --to openvino [--quantization fp32|fp16]
scripts/export.py RUN --endpoint http://127.0.0.1:8000/v1 [--model NAME]

The result is in RUN/exports/<name>, with the commands that start it; its figures are in RUN/exports.json. All but
merged need packages: pip install -e '.[export]', which compiles llama-cpp-python (cmake, a C++ compiler).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.runs import Run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory that scripts/evaluate.py has scored")
    parser.add_argument("--to", metavar="FORMAT", help="merged, gguf, onnx or openvino")
    parser.add_argument("--quantization", metavar="Q", help="its precision (default: the first that is named above)")
    parser.add_argument("--limit", type=int, help="compare on the first N cases only (first run evaluate.py --limit N)")
    parser.add_argument("--endpoint", metavar="URL", help="instead, check a server that has OpenAI's completions API")
    parser.add_argument(
        "--model", metavar="NAME", help="the one to ask there (default: its first); key: OSLER_ENDPOINT_KEY"
    )
    arguments = parser.parse_args()
    if (arguments.to is None) == (arguments.endpoint is None):
        raise InputError("name either --to FORMAT or --endpoint URL")
    if arguments.endpoint and arguments.quantization:
        raise InputError("--quantization is for --to")
    if arguments.to and arguments.model:
        raise InputError("--model is for --endpoint")
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"--limit {arguments.limit}: at least 1")
    from osler.export import export, form_named, serving_figures

    run = Run(arguments.run)
    if arguments.to:
        print(export(run, form_named(arguments.to, arguments.quantization), arguments.limit))
    else:
        key = os.environ.get("OSLER_ENDPOINT_KEY")
        print(serving_figures(run, arguments.endpoint, arguments.model, key, arguments.limit))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))

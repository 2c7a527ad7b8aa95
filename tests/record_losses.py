"""Record what test_training.py compares with: python tests/record_losses.py (src and scripts committed)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest import save_tiny_base
from project import ROOT, losses, make, script

from osler.runs.environment import describe_environment


def main() -> int:
    dirty = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    if any(line[3:].startswith(("src/", "scripts/")) for line in dirty.splitlines()):
        print("src or scripts have uncommitted changes: commit first, so that the recorded commit is what was run")
        return 2
    recorded = {}
    for loss in ("label_trie", "completion"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            tiny = save_tiny_base(folder / "base")
            path = make(folder, tiny, train={"max_steps": 20, "save_strategy": "no"}, loss=LOSSES[loss])
            done = script(folder, "train", path, "--output", folder / "run")
            assert done.returncode == 0, done.stderr
            recorded[loss] = [round(value, 6) for value in losses(folder / "run").values()]
    made_with = describe_environment()
    recorded["made_with"] = {"git_commit": made_with.git_commit, "packages": made_with.packages}
    (Path(__file__).parent / "golden" / "losses.json").write_text(json.dumps(recorded, indent=1) + "\n")
    return 0


LOSSES = {
    "label_trie": {"name": "label_trie", "completion_weight": 0.1},
    "completion": {"name": "completion", "completion_weight": None},
}

if __name__ == "__main__":
    raise SystemExit(main())

#!/usr/bin/env python3
"""Draw the synthetic drawings of the task `drawn_discs`, to try training on images with. They mean nothing medical.

    scripts/draw_discs.py --output my-data
    scripts/draw_discs.py --output my-data --drawings 2000 --seed 1

Exit status: 0 done, 2 the folder has other drawings already.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import shlex
from pathlib import Path

from PIL import Image, ImageDraw

from osler.errors import InputError, exit_status
from osler.storage import write_atomically

SIDE = 96  # pixels
ON_A_SHEET = 4
DISCS = {"disc on the left": (0,), "disc on the right": (1,), "discs on both sides": (0, 1), "no disc": ()}
GREY = {"dark": 70, "light": 110}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where OSLER_DATA_DIR will point")
    parser.add_argument("--drawings", type=int, default=400, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other drawings (%(default)s)")
    arguments = parser.parse_args()
    if arguments.drawings < 1:
        raise InputError(f"--drawings {arguments.drawings}: expected 1 or more")
    folder = arguments.output / "drawn_discs"
    if (folder / "drawings.csv").exists():
        raise InputError(f"{folder}: has drawings already; delete that folder, or name another --output")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["file", "description", "discs", "sheet"])
    for number in range(arguments.drawings):
        sheet = number // ON_A_SHEET
        file = f"images/{number:05d}.png"
        label = random.Random(f"label/{arguments.seed}/{number}").choice(list(DISCS))
        image, description = drawing(f"{arguments.seed}/{sheet}", f"{arguments.seed}/{number}", label)
        image.save(folder / file)
        rows.writerow([file, description, label, f"sheet-{sheet:04d}"])
    write_atomically(folder / "drawings.csv", table.getvalue())  # last: a table is of drawings that are there
    print(f"{folder / 'drawings.csv'}: {arguments.drawings:,} synthetic drawings")
    print(f"export OSLER_DATA_DIR={shlex.quote(str(arguments.output.resolve()))}")
    return 0


def drawing(sheet: str, name: str, label: str) -> tuple[Image.Image, str]:
    """The drawing called ``name`` with the discs of ``label`` in the ovals of ``sheet``, and how it was drawn."""
    dice, of_sheet = random.Random(f"drawing/{name}"), random.Random(f"sheet/{sheet}")
    grey, outline = of_sheet.choice(list(GREY)), of_sheet.choice(("thin", "thick"))
    noise = Image.frombytes("L", (SIDE, SIDE), bytes(value // 5 for value in dice.randbytes(SIDE * SIDE)))
    pen = ImageDraw.Draw(noise)
    for side in (0, 1):
        left, top = 8 + 44 * side + of_sheet.randrange(-3, 4), 16 + of_sheet.randrange(-4, 5)
        width, height = 34 + of_sheet.randrange(-3, 4), 64 + of_sheet.randrange(-4, 5)
        box = (left, top, left + width, top + height)
        pen.ellipse(box, fill=GREY[grey], outline=160, width=3 if outline == "thick" else 1)
        if side in DISCS[label]:
            radius = dice.randrange(4, 8)
            x, y = left + width // 2 + dice.randrange(-6, 7), top + height // 2 + dice.randrange(-18, 19)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=235)
    return noise, f"A synthetic drawing of two {grey} ovals with a {outline} outline."


if __name__ == "__main__":
    raise SystemExit(exit_status(main))

"""Names the instructions of images that the interpreter does not know, launched or not.

    python3 -m gcn.check build/gpu [stem...]

Exit status 1 where there is one, or where there is no image at all.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .program import Program

ARCHITECTURES = ("gfx90a", "gfx942")


def main(folder: Path, stems: list[str]) -> int:
    images = [
        path
        for architecture in ARCHITECTURES
        for path in sorted(folder.glob(f"*.{architecture}.co"))
        if not stems or path.name.split(".")[0] in stems
    ]
    if not images:
        print(f"{folder}: no images of {', '.join(ARCHITECTURES)}")
    missing = 0
    for path in images:
        program = Program(path)
        unknown = sorted(set(program.unknown()))
        missing += len(unknown)
        print(f"{path.name}: {len(program.lines)} instructions, {len(unknown)} unknown")
        for text in unknown:
            print(f"  {text}")
    return 1 if missing or not images else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

"""Lists the instructions of code objects that the interpreter does not know.

python3 -m gcn.coverage build/gpu/*.co
"""

from __future__ import annotations

import sys
from pathlib import Path

from .program import Program


def main(paths: list[str]) -> int:
    missing = 0
    for path in paths:
        program = Program(Path(path))
        unknown = program.unknown()
        missing += len(unknown)
        print(f"{path}: {len(program.lines)} instructions, {len(unknown)} unknown")
        for text in sorted(set(unknown)):
            print(f"  {text}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What a command imports, told by a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

__all__ = ["imported_by"]


def imported_by(*arguments: object) -> set[str]:
    """The top-level modules that `augment` with these arguments imports."""
    code = (
        "import sys, atexit, json\n"
        "atexit.register(lambda: print(json.dumps(sorted(m for m in sys.modules if '.' not in m)), file=sys.stderr))\n"
        "sys.argv[0] = 'augment'\n"
        "from pipelines.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))

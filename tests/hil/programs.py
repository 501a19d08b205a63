"""Programs that stand for those of the product: what they print is what a test wants."""

import sys
from pathlib import Path

EMULATOR = """
import sys
assert sys.argv[1:3] == ["emulate", "climate"], sys.argv
print("ready /dev/pts/7", flush=True)
for line in sys.stdin:
    if line.startswith("fault slow"):
        continue
    if line.startswith("fault gone"):
        sys.exit("the bus is gone")
    print("ok" if not line.startswith("humidity 150") else "error: no such humidity", flush=True)
"""


def program(folder: Path, name: str, source: str) -> Path:
    """An executable file `name` that is `source` in Python."""
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{source}")
    file.chmod(0o755)
    return file

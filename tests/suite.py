"""Run a suite's pytest, and a test that failed once more by itself: `python tests/suite.py tests/edge`.

The suites run beside each other, with real processes and real sockets, on machines that are busy. A test
that fails there and passes alone is unsteady: worth mending, and named for that in the closing lines, below
its first failure in full; it is no reason to call the change wrong. A fault fails twice. More than a few
failures are no chance either, and are not asked again. The chaos suite is run without this: what fails once
there is a find.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

SECOND_CHANCES = 3
"""More tests than these do not fail by chance."""


def main() -> int:
    # The suites run at once, and each remembers its own failures.
    cache = Path(os.environ.get("TOX_ENV_DIR", ".")) / ".pytest_cache"
    pytest = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache.absolute()}", *sys.argv[1:]]
    code = subprocess.run([*pytest, "--cache-clear"], check=False).returncode
    failed = _failed(cache)
    if code != 1 or not 0 < len(failed) <= SECOND_CHANCES:
        return code
    print("evswap: once more, by themselves:", *failed, sep="\n  ", flush=True)
    once_more = [*pytest, "--last-failed", "--last-failed-no-failures=none"]
    code = subprocess.run(once_more, check=False).returncode
    for test in sorted(set(failed) - set(_failed(cache))):
        print(f"evswap: unsteady: {test} failed, then passed by itself; see its failure above", flush=True)
    return code


def _failed(cache: Path) -> list[str]:
    try:
        return sorted(json.loads((cache / "v" / "cache" / "lastfailed").read_text()))
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    sys.exit(main())

"""The functions' zip for this machine, built once for all suites of a checkout: a build takes a whole pip."""

import shutil
from pathlib import Path

from evswap_local.package import keep_package

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "tests"


def functions_zip() -> Path:
    """Built again when anything that goes into it has changed. Two suites may ask at the same time."""
    return keep_package(KEPT, ROOT / "requirements" / "lambda.txt")


def lend_functions_zip(state_dir: Path) -> None:
    """Spare the `evswap up` of a test's own stack the build that its newcomer's stack does for real."""
    functions_zip()
    shutil.copytree(KEPT, state_dir / "packages", dirs_exist_ok=True)

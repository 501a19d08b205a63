"""The zips: complete (each handler imports in an empty interpreter), reproducible, for the right machine."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from evswap_cloud.__main__ import main
from evswap_cloud.package import Zip, build
from tests.cloud.messages import STACK
from tests.conftest import SkipAloud

FUNCTIONS = yaml.safe_load((STACK / "functions.yaml").read_text())
HANDLERS = sorted(function["handler"] for function in FUNCTIONS["functions"].values())
OF_THE_RUNTIME = ("boto3", "botocore", "s3transfer", "dateutil", "six", "urllib3", "jmespath")

IMPORT = """
import sys
sys.path[:0] = sys.argv[2:]
module, _, name = sys.argv[1].rpartition(".")
assert callable(getattr(__import__(module, fromlist=[name]), name))
for module in ("msgspec", "aws_lambda_powertools", "evswap_schema", "evswap_cloud"):
    assert sys.modules[module].__file__.startswith(sys.argv[2]), sys.modules[module].__file__
"""


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Zip:
    return build("local", tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what Lambda's own Python has beside the standard library, and nothing else."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in OF_THE_RUNTIME:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin)
        source = source.parent if source.name == "__init__.py" else source
        (folder / source.name).symlink_to(source)
    return folder


def names(zipped: Path) -> list[str]:
    with zipfile.ZipFile(zipped) as archive:
        return archive.namelist()


def import_handler(python: str, handler: str, zipped: Path, runtime: Path, folder: Path) -> None:
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(folder)
    command = [python, "-I", "-S", "-c", IMPORT, handler, str(folder), str(runtime)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("handler", HANDLERS)
def test_each_handler_imports_from_the_zip_in_an_empty_interpreter(
    handler: str, local: Zip, runtime: Path, tmp_path: Path
) -> None:
    import_handler(sys.executable, handler, local.path, runtime, tmp_path)


def test_the_same_sources_make_the_same_bytes(local: Zip, tmp_path: Path) -> None:
    again = build("local", tmp_path / "elsewhere")
    assert again.sha256 == local.sha256
    assert again.path.read_bytes() == local.path.read_bytes()


def test_nothing_is_inside_that_lambda_has_or_nobody_needs_there(local: Zip) -> None:
    inside = names(local.path)
    tops = {name.split("/")[0] for name in inside}
    assert not tops & {"boto3", "botocore", "s3transfer", "bin", "pip"}
    assert not [name for name in inside if "__pycache__" in name or name.endswith((".pyc", "RECORD"))]
    assert not {f"evswap_cloud/{name}.py" for name in ("package", "policies", "__main__")} & set(inside)


ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
"""EM_X86_64 and EM_AARCH64 of elf.h."""


def elf_machine(archive: Path, name: str) -> int:
    """The machine that a shared object was built for: two bytes at offset 18 of its ELF header."""
    with zipfile.ZipFile(archive) as content, content.open(name) as file:
        header = file.read(20)
    assert header.startswith(b"\x7fELF")
    return int.from_bytes(header[18:20], "little")


@pytest.mark.parametrize("machine", ELF_MACHINES)
def test_a_zip_for_aws_holds_what_its_machine_can_load(
    machine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"linux-{machine}-cp313"
    assert main(["package", "--target", target, "--output", str(tmp_path)]) == 0
    [path] = tmp_path.iterdir()
    assert str(path) in capsys.readouterr().out
    built_for = {name: elf_machine(path, name) for name in names(path) if name.endswith(".so")}
    assert f"msgspec/_core.cpython-313-{machine}-linux-gnu.so" in built_for
    assert set(built_for.values()) == {ELF_MACHINES[machine]}


def test_the_stack_deploys_a_target_that_can_be_built() -> None:
    assert FUNCTIONS["package_target"] == "linux-aarch64-cp313"
    assert (FUNCTIONS["architecture"], FUNCTIONS["runtime"]) == ("arm64", "python3.13")


@pytest.fixture(scope="session")
def python_of_aws(skip_aloud: SkipAloud) -> str:
    python = shutil.which("python3.13")
    if (
        python is None
        or subprocess.run([python, "--version"], capture_output=True, check=False).returncode != 0
    ):
        skip_aloud("there is no python3.13 here", could_run=False)
    return python


@pytest.fixture(scope="session")
def for_aws(tmp_path_factory: pytest.TempPathFactory) -> Zip:
    return build("linux-x86_64-cp313", tmp_path_factory.mktemp("aws"))


@pytest.mark.parametrize("handler", HANDLERS)
def test_the_zip_for_aws_imports_under_its_own_python(
    handler: str, python_of_aws: str, for_aws: Zip, runtime: Path, tmp_path: Path
) -> None:
    import_handler(python_of_aws, handler, for_aws.path, runtime, tmp_path)

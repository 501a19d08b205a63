"""A docker engine for the tests: the one that answers, else one of their own that leaves nothing behind.

An engine of our own runs in a network namespace and in a folder that are gone with it. It reaches no
network, so it cannot pull: its base image is a small Debian with Python, made by mmdebstrap.
"""

import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from evswap_docker.compose import Compose
from evswap_docker.context import RECIPES, wheels_of
from evswap_docker.engine import Engine
from evswap_docker.errors import DockerError
from evswap_docker.images import keep_base_image
from evswap_docker.settings import Settings
from evswap_docker.wheels import Target
from evswap_hil.deadline import wait_until

PACKAGES = ("docker.io", "docker-compose", "mmdebstrap", "iptables", "iproute2")
PYTHON = "python3,python3-venv,python3-pip,ca-certificates,passwd"
STAND_IN = "evswap-test-base:latest"
APT_S, DEBOOTSTRAP_S = 300, 300


class NoEngine(Exception):
    """There is none; `could_run` says that one could be had on this machine."""

    def __init__(self, reason: str, *, could_run: bool) -> None:
        super().__init__(reason)
        self.could_run = could_run


@dataclass(frozen=True)
class Provided:
    """An engine that answers. `inside` begins a command that is to reach its published ports."""

    environment: Mapping[str, str]
    base_image: str
    inside: Sequence[str] = ()


@contextmanager
def provided(cache: Path) -> Iterator[Provided]:
    """An engine with compose and a base image. Raises NoEngine."""
    try:
        found = _ordinary()
    except DockerError as error:
        _demand_could_have_one(str(error))
    else:
        yield found
        return
    _install_what_is_missing()
    with (
        tempfile.TemporaryDirectory(prefix="evswap-dockerd-", ignore_cleanup_errors=True) as folder,
        _own_engine(Path(folder)) as (environment, process),
    ):
        with ThreadPoolExecutor(max_workers=1) as beside:
            beside.submit(_fetch_wheels, cache)
            _import_stand_in(environment, _stand_in(cache))
        namespace = f"--net=/proc/{process.pid}/ns/net"
        yield Provided(environment, STAND_IN, ("nsenter", namespace))


def _ordinary() -> Provided:
    """The engine that docker finds; raises DockerError when it cannot be used as it is."""
    engine, settings = Engine.find(), Settings.of()
    Compose.find(engine, settings)
    keep_base_image(engine, settings.base_image, lambda _: None)
    return Provided(dict(os.environ), settings.base_image)


def _demand_could_have_one(reason: str) -> None:
    """Nothing is installed on a machine that is somebody's own."""
    root, apt = os.geteuid() == 0, shutil.which("apt-get") is not None
    if not root or not apt:
        raise NoEngine(f"{reason}; and only root can start one of its own", could_run=False)
    installed = shutil.which("dockerd") and shutil.which("docker-compose") and shutil.which("mmdebstrap")
    if not installed and os.environ.get("CI") != "true":
        raise NoEngine(f"{reason}; CI=true installs one with apt", could_run=True)


def _install_what_is_missing() -> None:
    programs = ("dockerd", "docker", "docker-compose", "mmdebstrap", "iptables", "ip")
    if all(shutil.which(program) for program in programs):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            ["apt-get", *command], env=environment, capture_output=True, text=True, timeout=APT_S, check=False
        )
        if done.returncode != 0:
            raise NoEngine(f"apt-get {command[0]} failed: {done.stderr[-500:]}", could_run=True)


@contextmanager
def _own_engine(folder: Path) -> Iterator[tuple[dict[str, str], "subprocess.Popen[bytes]"]]:
    """dockerd in a network namespace that is gone when it is (`ip netns exec` would hide the cgroups)."""
    socket, log = folder / "docker.sock", folder / "log"
    daemon = [
        *("dockerd", "--host", f"unix://{socket}", "--data-root", str(folder / "data")),
        *("--exec-root", str(folder / "run"), "--pidfile", str(folder / "dockerd.pid")),
    ]
    isolated = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *daemon]
    with log.open("wb") as output:
        process = subprocess.Popen(isolated, stdout=output, stderr=output, start_new_session=True)
    environment = {**os.environ, "DOCKER_HOST": f"unix://{socket}"}
    try:
        wait_until(lambda: _answers(environment, process, log), what="an answer of dockerd", within=60)
        yield environment, process
    finally:
        _end(process, folder)


def _answers(environment: Mapping[str, str], process: "subprocess.Popen[bytes]", log: Path) -> bool:
    if process.poll() is not None:
        raise NoEngine(f"dockerd ended: {log.read_text(errors='replace')[-800:]}", could_run=True)
    try:
        Engine.find(environment)
    except DockerError:
        return False
    return True


def _end(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """The daemon, whatever it has started, and what it has mounted."""
    started = [process.pid, *(child.pid for child in _children(process.pid))]
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    for pid in started:
        if psutil.pid_exists(pid) and str(folder) in " ".join(_command(pid)):
            os.kill(pid, signal.SIGKILL)
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((each for each in mounts if each.startswith(str(folder))), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return []


def _stand_in(cache: Path) -> Path:
    """A tarball of this Debian with Python, made once."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    tarball = cache / f"base-{suite}.tar"
    if tarball.is_file():
        return tarball
    cache.mkdir(parents=True, exist_ok=True)
    draft = tarball.with_suffix(".draft.tar")
    command = [
        *("mmdebstrap", "--mode=root", "--variant=essential", f"--include={PYTHON}", suite),
        *(str(draft), str(_apt_sources())),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEBOOTSTRAP_S, check=False)
    if done.returncode != 0:
        raise NoEngine(f"mmdebstrap failed: {done.stderr[-800:]}", could_run=True)
    return draft.replace(tarball)


def _fetch_wheels(cache: Path) -> None:
    """What the images will need, while the stand-in is made: it has the Python of this Debian."""
    ask = [
        *("/usr/bin/python3", "-c"),
        "import platform; print(platform.machine(), platform.python_version())",
    ]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return
    machine, version = done.stdout.split()
    for recipe in RECIPES.values():
        wheels_of(recipe, Target(machine, version.rpartition(".")[0]), cache)


def _apt_sources() -> Path:
    """The machine's own: where its packages come from is its business."""
    one_file = Path("/etc/apt/sources.list")
    if one_file.is_file() and one_file.stat().st_size:
        return one_file
    return next(iter(sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))))


def _import_stand_in(environment: Mapping[str, str], tarball: Path) -> None:
    Engine.find(environment).run("import", str(tarball), STAND_IN, timeout_s=120)

"""Building the images."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from evswap_docker.context import RECIPES, context_of, fill
from evswap_docker.engine import LONG_S, Engine
from evswap_docker.errors import BaseImageMissing, PythonUnsuitable
from evswap_docker.settings import FIRST_PYTHON, LAST_PYTHON, Settings
from evswap_docker.wheels import Target

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
ASK = "import platform; print(platform.machine(), platform.python_version())"

Say = Callable[[str], None]


def build_images(engine: Engine, settings: Settings, say: Say) -> None:
    """Builds both, side by side; what did not change comes from the engine's cache. Raises DockerError."""
    keep_base_image(engine, settings.base_image, say)
    target = target_of(engine, settings.base_image)

    def build(name: str, tag: str) -> None:
        say(f"image {tag}: on {settings.base_image}, Python {target.python}, {target.machine}")
        with context_of(RECIPES[name], target, settings.cache) as folder:
            engine.run(
                *("build", "--quiet", "--tag", tag, "--build-arg", f"BASE_IMAGE={settings.base_image}"),
                str(folder),
                timeout_s=LONG_S,
            )

    with ThreadPoolExecutor(max_workers=len(RECIPES)) as builders:
        building = [
            builders.submit(build, "aws", settings.aws_image),
            builders.submit(build, "station", settings.station_image),
        ]
        for each in building:
            each.result()


def make_context(engine: Engine, settings: Settings, name: str, folder: Path) -> None:
    """Fills an empty ``folder``, for a build by other means (`docker buildx`, kaniko). Raises DockerError."""
    folder.mkdir(parents=True)
    keep_base_image(engine, settings.base_image, lambda _: None)
    fill(folder, RECIPES[name], target_of(engine, settings.base_image), settings.cache)


def keep_base_image(engine: Engine, image: str, say: Say) -> None:
    """Pulls it unless it is here; raises BaseImageMissing."""
    if engine.has_image(image):
        return
    say(f"pulling {image}")
    answer = engine.try_run("pull", "--quiet", image, timeout_s=LONG_S)
    if answer.returncode != 0:
        raise BaseImageMissing(image, answer.stderr or answer.stdout)


def target_of(engine: Engine, image: str) -> Target:
    """Machine and Python of ``image``; raises PythonUnsuitable."""
    answer = engine.try_run(
        *("run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", ASK), timeout_s=120
    )
    match = re.fullmatch(r"(\S+) (\d+)\.(\d+)\.\S+", answer.stdout.strip())
    if match is None:
        raise PythonUnsuitable(image, "")
    version = (int(match[2]), int(match[3]))
    if not FIRST_PYTHON <= version <= LAST_PYTHON:
        raise PythonUnsuitable(image, f"Python {match[2]}.{match[3]}")
    return Target(MACHINES.get(match[1], match[1]), f"{match[2]}.{match[3]}")

"""Play many schedules, several at once, and say what came of each."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.authority import Authority
from tests.chaos.plants import Plant
from tests.chaos.play import play
from tests.chaos.schedule import Schedule
from tests.chaos.verdict import Verdict

AGAIN: Final = "again by: .venv/bin/python -m tests.chaos"


@dataclass(frozen=True, slots=True)
class Outcome:
    schedule: Schedule
    verdict: Verdict

    def is_good(self) -> bool:
        return not self.verdict.faults

    def __str__(self) -> str:
        lines = [str(self.schedule), f"  {self.verdict}"]
        return "\n".join(lines if self.is_good() else [*lines, f"  {AGAIN} {self.schedule.name}"])


async def run(
    schedules: Sequence[Schedule],
    folder: Path,
    *,
    plant: Plant | None = None,
    at_once: int = 4,
    is_patient: bool = True,
    say: Callable[[str], object] = lambda _: None,
) -> list[Outcome]:
    """The outcomes in the order of `schedules`. What a good one leaves behind is removed, the rest is kept in
    `folder`. Who is not patient does not wait long for what will not come."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder, name="chaos-authority")
    places = asyncio.Semaphore(at_once)

    async def one(schedule: Schedule) -> Outcome:
        async with places:
            stage = folder / schedule.name.replace("/", "-")
            stage.mkdir()
            outcome = Outcome(
                schedule, await play(schedule, stage, authority, plant=plant, is_patient=is_patient)
            )
            say(str(outcome))
            if outcome.is_good():
                shutil.rmtree(stage)
            return outcome

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(schedule), name=schedule.name) for schedule in schedules]
    return [task.result() for task in running]

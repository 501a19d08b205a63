"""The bill: its sums, its bars, and that what it is made of is still what stations and functions move."""

import json
import math
import re
from pathlib import Path

import pytest

from evswap_local.__main__ import main
from evswap_local.cost.capacity import Demand
from evswap_local.cost.prices import price_list
from evswap_local.cost.profile import Recording, Work, profile
from evswap_local.cost.settings import Settings
from evswap_schema import Channel
from tests.cloud.messages import STACK
from tests.cost.measure import measured, seed_message
from tests.cost.metering import item_bytes
from tests.cost.traffic import Shift

SAMPLE = Shift(bays=8, from_hour=9.0, hours=0.6)
SETTLES_H = 0.1
DRIFT = 0.25
"""Between a good half hour and the shift that was measured; a unit more a message is far beyond it."""


def bill(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, float]:
    assert main(["cost", "--json", *arguments]) == 0
    bills = json.loads(capsys.readouterr().out)["bills"]
    return {design: one["usd"] for design, one in bills.items()}


def test_the_bill_is_the_sum_of_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    for one in told["bills"].values():
        assert one["usd"] == pytest.approx(sum(line["usd"] for line in one["lines"]))
        assert one["usd"] == pytest.approx(sum(one["kinds"].values()))
        assert all(line["quantity"] >= 0 for line in one["lines"])


def test_the_text_names_the_next_dollar_and_the_prices_nobody_looked_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cost"]) == 0
    text = capsys.readouterr().out
    assert text.count("The next dollar comes from ") == 2
    assert "The next dollar comes from S3, objects written" in text
    assert f"{price_list().from_memory} of {len(price_list().prices)} are from memory" in text


def test_the_original_design_costs_what_its_objects_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert 3_300 < bill(capsys)["seed"] < 4_300


def test_longer_batches_and_provisioned_capacity_save(capsys: pytest.CaptureFixture[str]) -> None:
    usual = bill(capsys)["evswap"]
    longer = bill(capsys, "--batch-age", "300")["evswap"]
    provisioned = bill(capsys, "--batch-age", "300", "--billing", "provisioned")["evswap"]
    assert provisioned < longer < usual


FRUGAL = ("--batch-age", "300", "--settings", str(STACK.parent / "terraform/environments/frugal.tfvars.json"))


def test_a_thousand_stations_cost_no_more_than_promised(capsys: pytest.CaptureFixture[str]) -> None:
    """200 dollars a month as it comes, and 100 with what docs/cost.md says beyond it."""
    assert bill(capsys)["evswap"] <= 200.0
    assert bill(capsys, "--bays", "8")["evswap"] <= 200.0
    assert bill(capsys, *FRUGAL)["evswap"] <= 100.0


def test_units_without_a_most_are_not_scaled_and_have_no_alarms(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.tfvars.json"
    file.write_text('{"provisioned_tables": {"stations": {"write_units": 40, "most_write_units": 80}}}')
    told = lines(capsys, "--settings", str(file))
    assert told["alarms of auto scaling"] == pytest.approx(0.4)


def test_what_is_gathered_for_longer_is_sent_less_often(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.tfvars.json"
    file.write_text('{"windows_s": {"bulk": 60, "push": 10}, "dashboard": false}')
    usual, told = lines(capsys), lines(capsys, "--settings", str(file))
    assert told["bulk: calls"] == pytest.approx(usual["bulk: calls"] / 2)
    assert told["frames, one in 10 s and page"] == pytest.approx(usual["frames, one in 1 s and page"] / 10)
    assert (usual["dashboard"], told["dashboard"]) == (3.0, 0.0)


def test_settings_without_a_word_are_terraforms_defaults() -> None:
    declared = (STACK.parent / "terraform/variables.tf").read_text()
    defaults = dict(re.findall(r'variable "(\w+)" {[^}]*?\bdefault += (\S+)\n', declared))
    for name in ("tracing_share", "table_utilisation", "dashboard"):
        assert json.loads(defaults[name]) == getattr(Settings(), name)


def test_settings_that_are_none_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.tfvars.json"
    file.write_text('{"tracing_share": "much"}')
    assert main(["cost", "--settings", str(file)]) == 1
    assert "tracing_share" in capsys.readouterr().err


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, float]:
    assert main(["cost", "--json", *arguments]) == 0
    ours = json.loads(capsys.readouterr().out)["bills"]["evswap"]["lines"]
    return {line["what"]: line["usd"] for line in ours}


def test_what_happens_is_paid_for_as_long_as_it_is_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "longer.tfvars.json"
    file.write_text('{"events_kept_days": 90}')
    of_a_year = ("--months-kept", "12")
    first, settled = lines(capsys)["storage"], lines(capsys, *of_a_year)["storage"]
    assert first < settled < 6 * first
    assert lines(capsys, *of_a_year, "--settings", str(file))["storage"] > 2 * settled * 0.8


def test_capacity_is_paid_for_the_busiest_hour_and_not_for_the_mean() -> None:
    rush = Demand(by_swaps=10.0)
    assert rush.peak > 2.0 * 10.0
    assert rush.paid(1.0, math.inf, 0.7) > 10.0 / 0.7
    assert rush.paid(50.0, 50.0, 0.7) == rush.paid(50.0, None, 0.7) == 50.0, (
        "what Terraform keeps at least is paid for, and no more than its most"
    )
    assert Demand(even=7.0).paid(1.0, math.inf, 0.7) == 10.0


def test_what_was_not_measured_is_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--batch-age", "61"]) == 1
    assert "35 bays with batches of 61 s were not measured" in capsys.readouterr().err


def test_an_item_is_as_large_as_dynamodb_says() -> None:
    item = {"ab": {"S": "cdé"}, "n": {"N": "-12.50"}, "m": {"M": {"x": {"NULL": True}}}, "l": {"L": []}}
    assert item_bytes(item) == (2 + 4) + (1 + 4) + (1 + 3 + 1 + 1 + 1) + (1 + 3)


@pytest.fixture(scope="module")
def sample() -> Recording:
    return measured(SAMPLE, settles_h=SETTLES_H)


def a_message(recording: Recording, channel: Channel) -> Work:
    work = recording.channels[channel.value]
    return work.times(1 / work.messages)


def test_the_profile_is_still_what_stations_send(sample: Recording) -> None:
    known = profile().recording(SAMPLE.bays, SAMPLE.batch_age_s)
    assert profile().seed_bytes == len(seed_message())
    for channel in (Channel.BATCH, Channel.CHANGE):
        now, then = a_message(sample, channel), a_message(known, channel)
        assert now.bytes == pytest.approx(then.bytes, rel=DRIFT)
        assert (now.steps, now.queue_steps) == (then.steps, then.queue_steps)
    hours = sample.hours / known.hours
    batches = [one.channels[Channel.BATCH.value].messages for one in (sample, known)]
    assert batches[0] == pytest.approx(batches[1] * hours, rel=DRIFT)


def test_the_profile_is_still_what_functions_do(sample: Recording) -> None:
    known = profile().recording(SAMPLE.bays, SAMPLE.batch_age_s)
    for channel in (Channel.BATCH, Channel.CHANGE):
        now, then = a_message(sample, channel), a_message(known, channel)
        assert now.writes.keys() == then.writes.keys()
        assert now.writes["stations"] == pytest.approx(then.writes["stations"], rel=DRIFT)
        assert now.reads == pytest.approx(then.reads, rel=DRIFT)
        assert sum(now.calls.values()) == pytest.approx(sum(then.calls.values()), rel=DRIFT)

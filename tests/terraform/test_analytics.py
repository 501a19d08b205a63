"""The history in Athena and the compactor, as they would be made, and what an AWS keeps of them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.local_stack import LocalStack
from tests.terraform.conftest import Account
from tests.terraform.tool import ROOT, Plan, Terraform

HERE = ("-var-file=environments/dev.tfvars", "-var=account_id=000000000000")


@pytest.fixture(scope="module")
def compacting(terraform: Terraform, account: Account, zips: Path) -> Plan:
    """With a compactor; its zip is any, as nobody runs it."""
    [package] = zips.iterdir()
    return terraform.plan(
        *(*HERE, f"-var=packages={zips}", f"-var=stack_folder={ROOT / 'cloud' / 'stack'}"),
        f"-var=compactor_package={package}",
        environment=account.environment(),
    )


def tables(plan: Plan) -> dict[str, dict[str, Any]]:
    return {table["name"]: table for table in plan.after("aws_glue_catalog_table").values()}


@pytest.mark.release
def test_without_its_zip_there_is_no_compactor_and_with_it_one_that_is_called_at_night(
    dev: Plan, compacting: Plan
) -> None:
    before = {each["function_name"] for each in dev.after("aws_lambda_function").values()}
    functions = {each["function_name"]: each for each in compacting.after("aws_lambda_function").values()}
    assert functions.keys() - before == {"evswap-compact"}
    made = functions["evswap-compact"]
    assert (made["reserved_concurrent_executions"], made["timeout"]) == (1, 900)
    assert made["ephemeral_storage"] == [{"size": 10_240}]
    rules = {each["name"]: each for each in compacting.after("aws_cloudwatch_event_rule").values()}
    assert rules["evswap-compact"]["schedule_expression"] == "cron(10 0-4 * * ? *)"


@pytest.mark.release
def test_the_compactor_deletes_no_event_and_writes_no_raw_object(compacting: Plan) -> None:
    policies = compacting.after("aws_iam_role_policy")
    [policy] = [json.loads(each["policy"]) for address, each in policies.items() if "compaction" in address]
    may = {
        (action, resource)
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in (
            [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
        )
    }
    raw = "arn:aws:s3:::evswap-archive-000000000000"
    assert {resource for action, resource in may if action == "s3:DeleteObject" and raw in resource} == {
        f"{raw}/telemetry/*",
        f"{raw}/bulk/*",
    }
    assert not [resource for action, resource in may if action == "s3:PutObject" and raw in resource]


def test_partitions_are_projected_with_digits(dev: Plan) -> None:
    for name, table in tables(dev).items():
        if name in ("readings", "events"):
            continue
        parameters = table["parameters"]
        assert parameters["projection.enabled"] == "true"
        assert [parameters[f"projection.{part}.digits"] for part in ("year", "month", "day")] == [
            "4",
            "2",
            "2",
        ]
        assert {parameters[f"projection.{part}.type"] for part in ("year", "month", "day")} == {"integer"}


def test_compacted_tables_follow_the_lists_and_raw_ones_read_json(dev: Plan) -> None:
    made = {name: table["storage_descriptor"][0] for name, table in tables(dev).items()}
    compacted, batched = made["readings_compacted"], made["readings_batched"]
    assert compacted["location"] == "s3://evswap-compacted-000000000000/current/readings/"
    assert compacted["input_format"].endswith(".SymlinkTextInputFormat")
    assert batched["location"] == "s3://evswap-archive-000000000000/bulk/"
    assert batched["ser_de_info"][0]["serialization_library"] == "org.openx.data.jsonserde.JsonSerDe"


@pytest.mark.parametrize("name", ["readings", "events"])
def test_a_view_has_its_sql_and_its_columns_in_their_order(dev: Plan, name: str) -> None:
    view = tables(dev)[name]
    text = view["view_original_text"].removeprefix("/* Presto View: ").removesuffix(" */")
    presto = json.loads(base64.b64decode(text))
    sql = (ROOT / "cloud" / "stack" / "analytics" / f"{name}.sql").read_text().strip()
    assert presto["originalSql"] == sql
    selected = sql.partition("\nFROM")[0].removeprefix("SELECT").replace('"', "").replace("\n", "").split(",")
    names = [column.strip() for column in selected]
    assert [column["name"] for column in presto["columns"]] == names
    assert [column["name"] for column in view["storage_descriptor"][0]["columns"]] == names
    types = {column["name"]: column["type"] for column in presto["columns"]}
    assert (types["timestamp"], types["flags"], types["year"]) == (
        "timestamp(3)",
        "array(varchar)",
        "integer",
    )
    assert not [kind for kind in types.values() if "<" in kind or "string" in kind]


def test_the_workgroup_bounds_what_a_query_scans_and_forgets_its_answers(dev: Plan) -> None:
    [group] = dev.after("aws_athena_workgroup").values()
    [settings] = group["configuration"]
    assert settings["enforce_workgroup_configuration"] is True
    assert settings["bytes_scanned_cutoff_per_query"] == 50_000_000_000
    location = settings["result_configuration"][0]["output_location"]
    assert location == "s3://evswap-archive-000000000000/query-results/"
    rules = [
        rule
        for address, each in dev.after("aws_s3_bucket_lifecycle_configuration").items()
        if '"archive"' in address
        for rule in each["rule"]
        if rule["filter"][0]["prefix"] == "query-results/"
    ]
    assert [rule["expiration"][0]["days"] for rule in rules] == [7]


def test_an_aws_keeps_tables_views_and_saved_queries(stack: LocalStack) -> None:
    found = stack.aws("glue").get_tables(DatabaseName="evswap")["TableList"]
    kinds = {table["Name"]: table["TableType"] for table in found}
    assert {name for name, kind in kinds.items() if kind == "VIRTUAL_VIEW"} == {"readings", "events"}
    assert len(kinds) == 7
    athena = stack.aws("athena")
    queries = athena.list_named_queries(WorkGroup="evswap")["NamedQueryIds"]
    assert len(queries) == 6

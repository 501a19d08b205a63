"""The stack that Terraform makes is the one that `evswap up` makes, but for what is listed with a reason."""

import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.local_stack import LocalStack
from tests.terraform.conftest import Account
from tests.terraform.inventory import Inventory, Reader

MEANT = yaml.safe_load((Path(__file__).parent / "differences.yaml").read_text())
PATTERNS = [pattern for entry in MEANT for pattern in entry["settings"]]


def differences(one: Inventory, other: Inventory) -> set[str]:
    """The settings that only one has, or that differ."""
    return {setting for setting in one.keys() | other.keys() if one.get(setting) != other.get(setting)}


def unexpected(found: set[str]) -> set[str]:
    return {setting for setting in found if not any(fnmatchcase(setting, pattern) for pattern in PATTERNS)}


@pytest.fixture(scope="module")
def by_terraform(stack: LocalStack) -> Inventory:
    return Reader(stack.aws, stack.described_as_json["aws_endpoint_url"]).inventory()


@pytest.fixture(scope="module")
def by_evswap(account: Account) -> Inventory:
    return account.inventory()


def test_they_differ_only_in_what_is_listed(by_terraform: Inventory, by_evswap: Inventory) -> None:
    found = differences(by_terraform, by_evswap)
    assert {
        setting: (by_terraform.get(setting), by_evswap.get(setting)) for setting in unexpected(found)
    } == {}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_entry_of_the_list_is_needed(
    by_terraform: Inventory, by_evswap: Inventory, pattern: str
) -> None:
    assert any(fnmatchcase(setting, pattern) for setting in differences(by_terraform, by_evswap))


def test_every_entry_has_a_reason() -> None:
    assert all(len(entry["reason"]) > 20 for entry in MEANT)


def test_the_inventory_sees_each_kind(by_evswap: Inventory) -> None:
    kinds = {setting.split("/")[0] for setting in by_evswap}
    assert kinds >= {"table", "bucket", "queue", "role", "function", "log-group", "rule", "iot", "api"}


# --- a difference that is planted is found ---


def queue_without_dead_letters(account: Account) -> str:
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName="evswap-telemetry")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    return "queue/evswap-telemetry/redrive*"


def role_that_may_more(account: Account) -> str:
    iam = account.client("iam")
    policy = iam.get_role_policy(RoleName="evswap-api", PolicyName="evswap")["PolicyDocument"]
    policy["Statement"][0]["Action"].append("dynamodb:DeleteItem")
    iam.put_role_policy(RoleName="evswap-api", PolicyName="evswap", PolicyDocument=json.dumps(policy))
    return "role/evswap-api/inline/evswap/Statement"


def rule_of_other_sql(account: Account) -> str:
    iot = account.client("iot")
    rule = iot.get_topic_rule(ruleName="evswap_batch")["rule"]
    payload = {name: rule[name] for name in ("awsIotSqlVersion", "description", "actions", "errorAction")}
    iot.replace_topic_rule(
        ruleName="evswap_batch",
        topicRulePayload={**payload, "sql": "SELECT * FROM 'ev/#'", "ruleDisabled": False},
    )
    return "rule/evswap_batch/sql"


def bucket_without_versions(account: Account) -> str:
    s3, name = account.client("s3"), account.source.values.archive_bucket
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    return f"bucket/{name}/versioning"


def bucket_without_a_lifecycle_rule(account: Account) -> str:
    s3, name = account.client("s3"), account.source.values.compacted_bucket
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules[1:]})
    return f"bucket/{name}/lifecycle/{rules[0]['ID']}/*"


def table_that_cannot_be_recovered(account: Account) -> str:
    name = account.source.values.stations_table
    account.client("dynamodb").update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )
    return f"table/{name}/recovery"


def table_that_never_forgets(account: Account) -> str:
    name = account.source.values.events_table
    account.client("dynamodb").update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"}
    )
    return f"table/{name}/expiry/TimeToLiveStatus"


def function_that_is_called_more_often(account: Account) -> str:
    functions = account.client("lambda")
    found = functions.get_function_event_invoke_config(FunctionName="evswap-change", Qualifier="live")
    settings = {name: found[name] for name in ("MaximumEventAgeInSeconds", "DestinationConfig")}
    functions.put_function_event_invoke_config(
        FunctionName="evswap-change", Qualifier="live", MaximumRetryAttempts=2, **settings
    )
    return "function/evswap-change/asynchronous/MaximumRetryAttempts"


def function_of_another_size(account: Account) -> str:
    account.client("lambda").update_function_configuration(FunctionName="evswap-bulk", MemorySize=1024)
    return "function/evswap-bulk/MemorySize"


def policy_that_lets_stations_publish_anything(account: Account) -> str:
    iot = account.client("iot")
    document = json.loads(iot.get_policy(policyName="evswap-station")["policyDocument"])
    document["Statement"][1]["Resource"] = ["*"]
    iot.create_policy_version(
        policyName="evswap-station", policyDocument=json.dumps(document), setAsDefault=True
    )
    return "iot/policy evswap-station/Statement"


def method_without_a_validator(account: Account) -> str:
    gateway = account.client("apigateway")
    [api] = gateway.get_rest_apis()["items"]
    resources = gateway.get_resources(restApiId=api["id"], limit=500)["items"]
    [resource] = [each["id"] for each in resources if each["path"] == "/stations"]
    gateway.update_method(
        restApiId=api["id"],
        resourceId=resource,
        httpMethod="GET",
        patchOperations=[{"op": "replace", "path": "/requestValidatorId", "value": ""}],
    )
    return "api/GET /stations/validator"


def template_without_its_hook(account: Account) -> str:
    account.client("iot").update_provisioning_template(
        templateName="evswap-station", removePreProvisioningHook=True
    )
    return "iot/template evswap-station/preProvisioningHook*"


PLANTED: list[Callable[[Account], str]] = [
    queue_without_dead_letters,
    role_that_may_more,
    rule_of_other_sql,
    bucket_without_versions,
    bucket_without_a_lifecycle_rule,
    table_that_cannot_be_recovered,
    table_that_never_forgets,
    function_that_is_called_more_often,
    function_of_another_size,
    policy_that_lets_stations_publish_anything,
    method_without_a_validator,
    template_without_its_hook,
]


@pytest.fixture
def mended(account: Account) -> Iterator[Account]:
    """The stack of `evswap up`, whole again afterwards for the other tests."""
    yield account
    account.make()


def test_what_is_planted_is_found(mended: Account, by_terraform: Inventory) -> None:
    """All at once, as each is another setting: a difference hides no other."""
    settings = [plant(mended) for plant in PLANTED]
    found = unexpected(differences(by_terraform, mended.inventory()))
    assert [setting for setting in settings if not any(fnmatchcase(each, setting) for each in found)] == []
    strays = {each for each in found if not any(fnmatchcase(each, setting) for setting in settings)}
    assert strays == set(), "nothing else has changed"


def test_a_resource_that_only_one_has_is_found(by_terraform: Inventory) -> None:
    without: dict[str, Any] = {
        name: value for name, value in by_terraform.items() if "/evswap-batch-dlq/" not in name
    }
    assert unexpected(differences(by_terraform, without))

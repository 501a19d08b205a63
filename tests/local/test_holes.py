"""The holes of the local AWS, tried on the real one."""

import hashlib
import http.client
import io
import json
import zipfile

import psutil
import pytest
from botocore.exceptions import ClientError

from evswap_local.clients import Clients
from evswap_local.credentials import Credentials
from evswap_local.ministack import proofs
from tests.local.real import Emulator

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
WRITES = """
import boto3, os

def handler(event, context):
    try:
        boto3.client("dynamodb").put_item(TableName="forbidden", Item={"id": {"S": "1"}})
    except Exception as error:
        return {"outcome": str(error), "key": os.environ["AWS_ACCESS_KEY_ID"]}
    return {"outcome": "written", "key": os.environ["AWS_ACCESS_KEY_ID"]}
"""


def test_an_mqtt_client_without_certificate_is_refused_in_the_handshake(emulator: Emulator) -> None:
    assert not proofs.serves_without_certificate("127.0.0.1", emulator.settings.mqtt_port)


def test_it_listens_on_loopback_and_on_two_ports_only(emulator: Emulator) -> None:
    family = [emulator.process(), *emulator.process().children(recursive=True)]
    listening = {
        connection.laddr
        for process in family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {
        ("127.0.0.1", emulator.settings.port),
        ("127.0.0.1", emulator.settings.mqtt_port),
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("PUT", "/a-bucket"),
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/sqs/messages"),
        ("OPTIONS", "/a-bucket"),
    ],
)
def test_unsigned_requests_are_refused(emulator: Emulator, method: str, path: str) -> None:
    assert status(emulator, method, path) == http.HTTPStatus.FORBIDDEN


def test_a_web_page_cannot_reach_it_by_another_name(emulator: Emulator) -> None:
    assert status(emulator, "GET", "/_ministack/health") == http.HTTPStatus.OK
    assert status(emulator, "GET", "/_ministack/health", Host="evil.example") == http.HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("key", ["test", "000000000000", "123456789012", "AKIAUNKNOWN000000000"])
def test_well_known_keys_are_nobody(emulator: Emulator, key: str) -> None:
    for secret in ("test", emulator.credentials.secret_access_key):
        strangers = emulator.clients(Credentials(key, secret))
        refused(strangers)


def test_the_root_key_is_nobody_without_its_secret(emulator: Emulator) -> None:
    refused(emulator.clients(Credentials(emulator.credentials.access_key_id, "wrong")))


def test_the_root_key_with_its_secret_is_root(clients: Clients) -> None:
    assert clients.account_id() == "000000000000"
    assert clients.dynamodb.list_tables()["TableNames"] is not None


def test_a_function_may_do_what_its_role_allows_and_no_more(clients: Clients) -> None:
    role = clients.iam.create_role(RoleName="no-rights", AssumeRolePolicyDocument=json.dumps(TRUST))
    arn = role["Role"]["Arn"]
    clients.dynamodb.create_table(
        TableName="forbidden",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    function = clients.functions.create_function(
        FunctionName="writes",
        Runtime="python3.13",
        Handler="writes.handler",
        Role=arn,
        Code={"ZipFile": zipped("writes.py", WRITES)},
        Timeout=30,
    )
    answer = invoke(clients, "writes")
    assert "AccessDenied" in answer["outcome"]
    assert answer["key"] != guessable_key(function["FunctionArn"], arn)

    allow = {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"}
    clients.iam.put_role_policy(
        RoleName="no-rights",
        PolicyName="may",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    assert invoke(clients, "writes")["outcome"] == "written"


def refused(strangers: Clients) -> None:
    for call in (
        strangers.s3.list_buckets,
        strangers.dynamodb.list_tables,
        strangers.iot.list_things,
        strangers.sqs.list_queues,
        strangers.functions.list_functions,
        strangers.iam.list_roles,
        strangers.apigateway.get_rest_apis,
        strangers.account_id,
    ):
        with pytest.raises(ClientError) as refusal:
            call()
        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 401, 403)


def status(emulator: Emulator, method: str, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.settings.port, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def invoke(clients: Clients, name: str) -> dict[str, str]:
    payload = clients.functions.invoke(FunctionName=name)["Payload"].read()
    answer: dict[str, str] = json.loads(payload)
    return answer


def zipped(name: str, text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, text)
    return content.getvalue()


def guessable_key(function_arn: str, role_arn: str) -> str:
    """What ministack 1.5.33 makes of names that anyone can know."""
    return f"ASIA{hashlib.sha256(f'{function_arn}:{role_arn}'.encode()).hexdigest()[:16].upper()}"

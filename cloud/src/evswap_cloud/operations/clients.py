"""The AWS clients that an operator works with."""

from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

import boto3
from botocore.config import Config

from evswap_cloud.acknowledge import DataPlane

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_iot.client import IoTClient
    from types_boto3_lambda.client import LambdaClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

PARALLEL: Final = 16
"""Objects read at a time: reading an archive is waiting for S3."""

_PATIENT: Final = Config(
    connect_timeout=5,
    read_timeout=70,
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=PARALLEL,
)
"""Nobody waits in line behind an operator; a function that is called may take its whole minute."""


class Clients(Protocol):
    """The clients of one account and region."""

    @property
    def dynamodb(self) -> "DynamoDBClient": ...
    @property
    def functions(self) -> "LambdaClient": ...
    @property
    def iot(self) -> "IoTClient": ...
    @property
    def iot_data(self) -> DataPlane: ...
    @property
    def s3(self) -> "S3Client": ...
    @property
    def sqs(self) -> "SQSClient": ...


class EnvironmentClients:
    """Clients by the environment (``AWS_PROFILE``, ``AWS_REGION``, ``AWS_ENDPOINT_URL`` ...), as for any AWS
    tool; each is made when it is first needed."""

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        return boto3.client("dynamodb", config=_PATIENT)

    @cached_property
    def functions(self) -> "LambdaClient":
        return boto3.client("lambda", config=_PATIENT)

    @cached_property
    def iot(self) -> "IoTClient":
        return boto3.client("iot", config=_PATIENT)

    @cached_property
    def iot_data(self) -> DataPlane:
        """At the account's own data endpoint."""
        host = self.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
        made: DataPlane = boto3.client("iot-data", config=_PATIENT, endpoint_url=f"https://{host}")
        return made

    @cached_property
    def s3(self) -> "S3Client":
        return boto3.client("s3", config=_PATIENT)

    @cached_property
    def sqs(self) -> "SQSClient":
        return boto3.client("sqs", config=_PATIENT)

"""The one place that makes AWS clients; they speak to the local AWS only."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from evswap_cloud.acknowledge import DataPlane
from evswap_cloud.remote import CommandPlane
from evswap_local.credentials import Credentials

if TYPE_CHECKING:
    from types_boto3_apigateway import APIGatewayClient
    from types_boto3_apigatewayv2 import ApiGatewayV2Client
    from types_boto3_cognito_idp import CognitoIdentityProviderClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_events import EventBridgeClient
    from types_boto3_iam import IAMClient
    from types_boto3_iot import IoTClient
    from types_boto3_lambda import LambdaClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

QUICK = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 3},
    s3={"addressing_style": "path"},
)


@dataclass
class Clients:
    """Clients for the AWS at ``endpoint_url``, each made when it is first needed."""

    endpoint_url: str
    region: str
    credentials: Credentials

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(
            aws_access_key_id=self.credentials.access_key_id,
            aws_secret_access_key=self.credentials.secret_access_key,
            region_name=self.region,
        )

    @cached_property
    def apigateway(self) -> "APIGatewayClient":
        return self._session.client("apigateway", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def apigatewayv2(self) -> "ApiGatewayV2Client":
        return self._session.client("apigatewayv2", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def cognito(self) -> "CognitoIdentityProviderClient":
        return self._session.client("cognito-idp", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        return self._session.client("dynamodb", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def events(self) -> "EventBridgeClient":
        return self._session.client("events", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def iam(self) -> "IAMClient":
        return self._session.client("iam", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def iot(self) -> "IoTClient":
        return self._session.client("iot", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def iot_data(self) -> DataPlane:
        made: DataPlane = self._session.client("iot-data", endpoint_url=self.endpoint_url, config=QUICK)
        return made

    @cached_property
    def command_plane(self) -> CommandPlane:
        """The same, for messages that expire."""
        made: CommandPlane = self._session.client("iot-data", endpoint_url=self.endpoint_url, config=QUICK)
        return made

    @cached_property
    def functions(self) -> "LambdaClient":
        return self._session.client("lambda", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        return self._session.client("logs", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def s3(self) -> "S3Client":
        return self._session.client("s3", endpoint_url=self.endpoint_url, config=QUICK)

    @cached_property
    def sqs(self) -> "SQSClient":
        return self._session.client("sqs", endpoint_url=self.endpoint_url, config=QUICK)

    def account_id(self) -> str:
        """The account of these credentials; the first call that shows whether they are valid."""
        sts = self._session.client("sts", endpoint_url=self.endpoint_url, config=QUICK)
        return sts.get_caller_identity()["Account"]

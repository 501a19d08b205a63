"""What all stores need to know of the AWS client."""

from decimal import Decimal
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef


def error_code(error: ClientError | BotoCoreError) -> str:
    """AWS's code for what went wrong, or the name of the client's own error (a time-out, no connection)."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def number(value: float) -> "AttributeValueTypeDef":
    """``value`` as DynamoDB's attribute value, by way of the shortest text that reads back as the same float:
    nothing is rounded."""
    return {"N": str(Decimal(str(value)))}

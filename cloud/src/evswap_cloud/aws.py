"""What all stores need to know of the AWS client."""

from botocore.exceptions import BotoCoreError, ClientError


def error_code(error: ClientError | BotoCoreError) -> str:
    """AWS's code for what went wrong, or the name of the client's own error (a time-out, no connection)."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__

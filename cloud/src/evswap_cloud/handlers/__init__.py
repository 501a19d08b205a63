"""The entry points of the Lambda functions. ``cloud/stack/functions.yaml`` names them."""

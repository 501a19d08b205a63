"""The REST API: what ``cloud/stack/openapi.yaml`` describes. It imports nothing here: others need its
problems and not what it takes to route a request."""

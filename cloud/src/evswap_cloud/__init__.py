"""The serverless backend: ingest, stores and REST API of the battery-swap network on AWS."""

"""The serverless backend of the battery-swap network."""

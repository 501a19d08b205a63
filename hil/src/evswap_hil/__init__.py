"""Independent observers of a running stack: they see MQTT, HTTP and nothing else."""

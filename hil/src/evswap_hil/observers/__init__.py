"""Independent eyes: one that publishes and one that reads."""

"""The contract between station and cloud."""

"""What comes down to a station: commands, and the configuration that is wished for it."""

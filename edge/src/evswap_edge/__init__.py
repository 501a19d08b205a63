"""The program that runs at a battery-swap station."""

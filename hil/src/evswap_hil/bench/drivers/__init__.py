"""One device a module."""

"""The acceptance check: a running stack as a black box, each measured value beside its limit."""

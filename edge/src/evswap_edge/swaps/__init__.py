"""Swaps: which customer may exchange a battery, through which bays, and what became of it."""

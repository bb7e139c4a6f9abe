"""Telling remote trackers of runs: what is to be told lies on disk until they have it (TRK-1)."""

"""Adapters as assets: found, compared, combined, shrunk, taken in from other tools (ADP-1, ADP-3, ADP-4)."""

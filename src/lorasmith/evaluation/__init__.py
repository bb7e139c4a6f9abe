"""Measuring: the base and its adapters on the same rows."""

"""Environments of models: what is installed for one, and whether it works there."""

"""Secrets stay out of logs and messages (SEC-5)."""

from __future__ import annotations

import re

# Tokens of the Hub and of services that judge and track, and passwords in addresses.
_SECRET = re.compile(
    r"\b(?:hf|sk|api|glpat|ghp|github_pat|wandb)[_-][A-Za-z0-9_-]{16,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)|(?i:(?<=bearer ))\S+"
)
_MASK = "***"


def masked(text: str, *secrets: str) -> str:
    """`text` with `secrets`, and all that looks like one, as stars."""
    for secret in secrets:
        text = text.replace(secret, _MASK) if secret else text
    return _SECRET.sub(_MASK, text)

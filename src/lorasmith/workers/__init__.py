"""The worker plane: processes that load torch, started as `python -m lorasmith.workers.<job> spec.json`."""

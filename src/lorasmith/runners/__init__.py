"""Places where a worker can run. One file per place."""

"""From a file of examples to token rows: read, recognise, inspect, split, render."""

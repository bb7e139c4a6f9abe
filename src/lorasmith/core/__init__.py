"""What every stage stands on: errors, events, registry, settings, paths, progress. It knows no model and no data."""

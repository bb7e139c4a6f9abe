"""Where a model comes from: a folder, the demo model, an installed model, the Hub."""

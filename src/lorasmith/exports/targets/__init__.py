"""One file for each place that a model can go to."""

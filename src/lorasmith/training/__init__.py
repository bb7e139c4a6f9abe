"""Training as seen from the control plane: what is asked, how it is decided to stop, what is reported."""

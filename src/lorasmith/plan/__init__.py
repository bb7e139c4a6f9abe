"""What will be done and why: hardware, memory, parameters. Pure decisions, nothing is run."""

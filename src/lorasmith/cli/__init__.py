"""The command line: one short file per verb. Verbs call `flow` and render what comes back; they hold no logic."""

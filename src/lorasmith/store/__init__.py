"""What has to outlive the process: tasks, datasets, assistants, accounts, in SQLite or a database that several servers share."""

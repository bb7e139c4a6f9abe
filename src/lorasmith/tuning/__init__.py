"""The search for better parameters: what may vary, which trials go on, what is measured, and how it ends."""

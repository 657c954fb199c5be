"""One module per page of the console: what it asks the read models, and which template shows it."""

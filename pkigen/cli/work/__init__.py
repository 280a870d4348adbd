"""What commands do: imported when a command is run, and not for its help."""

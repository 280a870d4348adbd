"""What is looked for on the nodes of a foreign cluster: one small function for each."""

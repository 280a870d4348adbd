"""What `pkigen fleet` does for each cluster, and how it is told together."""

"""What must exist: the inventory derived from the spec, the connections it implies, the files it renders."""

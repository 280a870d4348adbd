"""An authority that is never connected: two directories as two machines, and a third as what is carried."""

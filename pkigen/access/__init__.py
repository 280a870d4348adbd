"""People and workloads: who comes in, with which credential, and what each may do."""

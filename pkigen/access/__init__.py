"""People and workloads: who has access, with which credential, and what each may do."""

"""What is on disk, read with distrust: authority, lock, ledger, vault."""

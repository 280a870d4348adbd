"""A cluster's authority in the form in which other distributions of Kubernetes take it."""

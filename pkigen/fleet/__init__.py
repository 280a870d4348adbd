"""Many clusters: a template and one row for each, or a directory of specs; processes that work on them."""

"""Everything that travels by file: sealed node bundles, keys born on nodes, the offline authority."""

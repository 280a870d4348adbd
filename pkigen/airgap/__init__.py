"""Everything that travels by file: sealed node bundles, keys made on nodes, the offline authority."""

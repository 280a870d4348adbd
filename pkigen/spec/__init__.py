"""The cluster spec: its types, and the readers that turn files into them."""

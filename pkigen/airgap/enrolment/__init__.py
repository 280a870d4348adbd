"""Keys made on the node that never leave it: request, approval, and the certificates for them."""

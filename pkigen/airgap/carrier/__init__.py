"""The files that are carried: their envelopes, archives and signatures, and the requests in them."""

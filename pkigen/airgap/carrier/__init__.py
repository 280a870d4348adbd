"""The files that are carried: their envelope, archive and signatures, and the requests in them."""

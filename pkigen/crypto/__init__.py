"""Keys, certificates, path verification, age and tokens: everything that is X.509 and knows no cluster."""

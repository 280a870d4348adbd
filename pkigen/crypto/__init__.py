"""Keys, certificates, path verification, age and tokens: all that speaks X.509 and knows no cluster."""

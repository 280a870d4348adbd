"""What is to be done next in a PKI directory, decided from what is there and from the clock."""

"""Node bundles: one node's files, sealed for it, signed by the cluster, installed completely or not at all.

A bundle is carried on a medium that anyone may have accessed. Nothing in it is trusted before the signature
over all of it was verified with a key that a person has pinned.
"""

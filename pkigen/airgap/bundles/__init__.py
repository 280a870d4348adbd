"""Node bundles: what one node needs, sealed for it, signed by the cluster, installed whole or not at all.

A bundle is carried on a medium that anyone may have touched. Whoever reads one trusts nothing in it before
the signature over all of it was found to be that of a key that a person has pinned.
"""

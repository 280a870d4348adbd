"""How much of its validity a certificate gives up, so that those of many clusters do not end on one day.

What was made on one day would otherwise be due on one day, again and again. The share depends on names alone:
every renewal of a certificate gives up the same, and nobody has to remember it.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

_OCTETS = 8


def given_up(
    validity: timedelta, *, renew_before: timedelta, percent: int, cluster: str, certificate: str
) -> timedelta:
    """What is taken off the end of a certificate.

    Never more than half of the time before its renewal is due: however large the share is, a certificate is
    not due as soon as it is made, and the window in which it is renewed stays as long as it was.

    Args:
        validity: How long it would be valid.
        renew_before: How long before its end it is renewed.
        percent: The largest share of its validity that it may give up.
        cluster: The cluster's name.
        certificate: The certificate's id.
    """
    most = min(validity * percent / 100, (validity - renew_before) / 2)
    # The line feed is in neither name.
    digest = hashlib.sha256(f"{cluster}\n{certificate}".encode()).digest()
    share = int.from_bytes(digest[:_OCTETS], "big") / 256**_OCTETS
    # Certificates have whole seconds (RFC 5280 4.1.2.5.2).
    return timedelta(seconds=int(most.total_seconds() * share))

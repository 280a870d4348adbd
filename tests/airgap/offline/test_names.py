"""What an offline root is called."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from pkigen.airgap.offline.directory import root_name


def test_a_root_has_the_end_of_a_name_that_is_too_long() -> None:
    assert root_name("prod") == "prod-root"
    assert root_name("x" * 253) == "x" * 59 + "-root"
    assert root_name("ü" * 253) == "ü" * 29 + "-root"
    assert root_name("a " + "x" * 58) == "x" * 58 + "-root"
    for owner in ("ü" * 60, "😀" * 63, "x" * 253):
        # pyca raises ValueError for what is longer.
        assert x509.NameAttribute(NameOID.COMMON_NAME, root_name(owner)).value.endswith("-root")

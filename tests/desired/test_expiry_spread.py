"""Certificates that are made on one day end on different days, and none of them is due too early."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as some

from pkigen.desired.expiry_spread import given_up
from pkigen.desired.inventory import derive
from pkigen.spec.model import ClusterSpec

DAY = timedelta(days=1)


def cluster(name: str, **certificates: object) -> ClusterSpec:
    node = {"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.0.0.11"]}
    spec = {"kubernetesVersion": "v1.36.2", "certificates": certificates, "nodes": [node]}
    return ClusterSpec.model_validate({"metadata": {"name": name}, "spec": spec})


def validities(name: str, **certificates: object) -> dict[str, timedelta]:
    inventory = derive(cluster(name, **certificates))
    return {item.id: item.validity for item in inventory.certificates.values()}


def test_without_a_spread_every_validity_is_what_the_spec_says() -> None:
    assert set(validities("one").values()) == {3650 * DAY, 365 * DAY}


def test_the_same_names_always_give_up_the_same() -> None:
    # Written down: another version of pkigen must not move the renewals of a fleet onto one day again.
    found = given_up(
        365 * DAY, renew_before=30 * DAY, percent=10, cluster="berlin", certificate="cp-1/apiserver"
    )
    assert found == timedelta(seconds=2_907_998)


def test_clusters_and_certificates_end_on_different_days() -> None:
    fleet = [validities(f"site-{number}", expirySpread="10%") for number in range(40)]
    for identifier in ("ca", "cp-1/apiserver"):
        days = sorted(each[identifier] // DAY for each in fleet)
        assert len(set(days)) > 20
        whole = 3650 if identifier == "ca" else 365
        assert whole * 0.9 - 1 <= days[0] < days[-1] <= whole
    assert len(set(fleet[0].values())) == len(fleet[0])


@settings(max_examples=50)
@given(
    hours=some.integers(1, 100_000),
    window=some.integers(1, 100_000),
    percent=some.integers(0, 25),
    name=some.text(max_size=8),
)
def test_no_certificate_is_due_when_it_is_made(hours: int, window: int, percent: int, name: str) -> None:
    spread = {"validity": f"{hours}h", "renewBefore": f"{window}h", "expirySpread": f"{percent}%"}
    inventory = derive(cluster(f"n{name!a}", caValidity="200000h", **spread))
    plain = derive(cluster(f"n{name!a}", caValidity="200000h", **{**spread, "expirySpread": "0%"}))
    for item in inventory.certificates.values():
        before = plain.certificates[item.id]
        assert item.validity <= before.validity
        assert item.renew_before <= before.renew_before
        # What is left until it is due is at least half of what it would have been.
        assert (item.validity - item.renew_before) >= (
            before.validity - before.renew_before
        ) / 2 - DAY / 86400

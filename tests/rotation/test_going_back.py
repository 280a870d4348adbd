"""`pkigen rollback` asks what every change of the authority asks: what comes back, what goes, what breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.program import Result
    from tests.rotation.phases import Workshop


def back(workshop: Workshop, *options: object) -> Result:
    return workshop.run("rollback", "-C", workshop.tree, "--yes", *options)


def risks(result: Result) -> list[str]:
    return [line.removeprefix("risk: ") for line in result.out.splitlines() if line.startswith("risk: ")]


def rotated(workshop: Workshop, what: str, *steps: str) -> None:
    for step in steps:
        workshop.step(what, step)


def oldest_backup(workshop: Workshop) -> str:
    return min(path.name for path in (workshop.tree / ".pkigen/backups").iterdir())


@pytest.mark.parametrize(
    ("what", "path", "consequence"),
    [
        (
            "encryption-key",
            "pki/encryption.key",
            "Secrets that are encrypted with it cannot be read any more",
        ),
        ("sa", "pki/sa.key", "every token that it has signed is refused"),
        ("ca etcd", "pki/etcd/ca.crt", "every certificate that it has signed is refused"),
    ],
)
def test_a_whole_rotation_is_not_undone_unasked(
    what: str, path: str, consequence: str, workshop: Workshop
) -> None:
    rotated(workshop, what, "prepare", "promote", "finish")
    before = workshop.photograph().files
    first = oldest_backup(workshop)
    refused = back(workshop, first)
    found = risks(refused)
    assert refused.code == 1
    assert any(each.startswith(f"it takes away {path} (") and each.endswith(consequence) for each in found)
    assert any(each.startswith(f"it brings back {path} (") for each in found)
    assert refused.error == f"the rollback is dangerous: {found[0]}"
    assert workshop.photograph().files == before
    assert back(workshop, first, "--force").code == 0
    assert workshop.run("verify", "-C", workshop.tree).code == 0
    plan = workshop.run("plan", workshop.spec, "-C", workshop.tree, "-o", "json").json
    assert (plan["actions"], plan["authority"]["changes"]) == ([], [])


def test_what_was_distrusted_does_not_come_back_in_silence(workshop: Workshop) -> None:
    rotated(workshop, "ca kubernetes", "prepare", "promote", "finish")
    refused = back(workshop)
    assert refused.code == 1
    assert risks(refused)[0].startswith("it brings back pki/ca-previous.crt (sha256:")


def test_a_step_that_harms_nothing_goes_back_as_it_did(workshop: Workshop) -> None:
    workshop.step("ca kubernetes", "prepare")
    done = back(workshop)
    assert (done.code, risks(done)) == (0, [])
    assert workshop.phases() == {}
    assert workshop.run("verify", "-C", workshop.tree).code == 0


def test_connections_that_would_break_are_named(workshop: Workshop) -> None:
    for step in ("prepare", "promote"):
        workshop.step("ca kubernetes", step)
    first = oldest_backup(workshop)
    refused = back(workshop, first)
    assert any(
        each.startswith("while its files reach the nodes, it breaks a connection: ")
        for each in risks(refused)
    )


def test_what_has_expired_meanwhile_is_named(workshop: Workshop) -> None:
    assert workshop.run("renew", workshop.spec, "--all", "-C", workshop.tree, "--yes").code == 0
    assert risks(workshop.run("rollback", "-C", workshop.tree)) == []
    from datetime import timedelta  # noqa: PLC0415

    workshop.now += timedelta(days=400)
    assert "certificates that have expired, such as " in back(workshop).error

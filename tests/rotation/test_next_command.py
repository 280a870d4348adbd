"""The command that goes on with a rotation, as somebody types it."""

from __future__ import annotations

from typing import Any

import pytest

from pkigen.rotation.next_command import next_command
from pkigen.rotation.step_names import RotationStep


@pytest.mark.parametrize(
    ("identifiers", "given", "command"),
    [
        (["ca"], {}, "ca kubernetes --live"),
        (["etcd-ca"], {}, "ca etcd --live"),
        (["ca", "etcd-ca"], {}, "ca kubernetes etcd --live"),
        # What the front proxy's CA signs, no endpoint shows; somebody has to vouch for it.
        (["front-proxy-ca"], {}, "ca front-proxy --assume-distributed"),
        (["ca", "front-proxy-ca"], {}, "ca kubernetes front-proxy --assume-distributed"),
        (["sa"], {}, "sa --assume-distributed"),
        (["encryption-key"], {}, "encryption-key --assume-distributed"),
        (["ca"], {"distributed": True}, "ca kubernetes --assume-distributed"),
        (["ca"], {"cluster": "-C prod"}, "ca kubernetes -C prod --live"),
        (["ca"], {"step": RotationStep.FINISH}, "ca kubernetes --phase finish --live"),
        (["sa"], {"cluster": "x", "step": RotationStep.PROMOTE}, "sa x --phase promote --assume-distributed"),
    ],
)
def test_how_a_rotation_goes_on(identifiers: list[str], given: dict[str, Any], command: str) -> None:
    assert next_command(identifiers, **given) == f"pkigen rotate {command}"


def test_the_names_of_the_steps() -> None:
    assert [str(each) for each in RotationStep] == ["prepare", "promote", "finish", "rollback"]

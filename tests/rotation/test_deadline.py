"""How long a look at the endpoints may take where nobody says otherwise."""

from __future__ import annotations

from datetime import timedelta

from pkigen.cli.options import TIMEOUT
from pkigen.rotation.deadline import DEADLINE


def test_a_look_has_a_minute_and_options_say_so() -> None:
    assert timedelta(minutes=1) == DEADLINE
    assert TIMEOUT == "1m"

"""The reasons as reports and ledgers have them: earlier ones are read by these names."""

from __future__ import annotations

from pkigen.state.reasons import TIME_REASONS, USELESS, Anomaly, Reason


def test_each_is_called_by_its_name() -> None:
    for each in (*Reason, *Anomaly):
        name = "tracked-secret" if each is Anomaly.TRACKED else each.name.lower().replace("_", "-")
        assert str(each) == name
    assert not {str(each) for each in Reason} & {str(each) for each in Anomaly}


def test_for_which_the_same_content_is_issued_again() -> None:
    assert {str(each) for each in TIME_REASONS} == {"expired", "expires-soon", "requested"}


def test_for_which_something_does_not_work_as_it_is() -> None:
    assert {str(each) for each in USELESS} == {
        *("missing", "unreadable", "key-missing", "key-unreadable", "key-mismatch"),
        *("unknown-issuer", "not-yet-valid", "expired"),
    }

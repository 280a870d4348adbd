"""What has moved between a plan that was saved and the one that would be made now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pkigen.state.reasons import TIME_REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 80
_LEAD = 20  # of what is the same, in front of what differs


def moved(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What is different between two plans, the actions and the files first: they explain the rest."""
    names = ("actions", "awaited", "waiting")
    for name in names:
        yield from _moved_actions(before.get(name), now[name])
    yield from _moved_values(_digests(before.get("observed")), _digests(now["observed"]))
    # What the cluster has yet to be given changes when somebody says that it was: that is no other plan.
    told = {*names, "observed", "digest", "inCluster"}
    for name in sorted((before.keys() | now.keys()) - told):
        if name not in before or before[name] != now.get(name):
            yield f"{name} {_change(before.get(name), now.get(name))}"


def _moved_actions(before: object, now: list[dict[str, Any]]) -> Iterator[str]:
    """What another thing is done to, or for another reason; of the same thing, the fields that are others."""
    old, new = _by_id(before), _by_id(now)
    for identifier in sorted(old.keys() | new.keys()):
        was, comes = old.get(identifier), new.get(identifier)
        if was == comes:
            continue
        if was is None or comes is None or verb(was) != verb(comes):
            yield f"{identifier}: {verb(was)} → {verb(comes)}"
        else:
            fields = (key for key in sorted(was.keys() | comes.keys()) if was.get(key) != comes.get(key))
            yield "; ".join(f"{identifier}: {key} {_change(was.get(key), comes.get(key))}" for key in fields)


def _moved_values(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Every value that is another than when the plan was saved."""
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"{name}: {_change(before.get(name), now.get(name))}"


def _digests(observed: object) -> dict[str, Any]:
    """The digests of a saved plan, as far as they can be read."""
    entries = observed if isinstance(observed, list) else []
    return {str(each.get("name")): each.get("digest") for each in entries if isinstance(each, dict)}


def _by_id(actions: object) -> dict[str, dict[str, Any]]:
    """Actions by their id, without what changes with the clock alone; nothing of what is no action."""
    entries = actions if isinstance(actions, list) else []
    return {str(each.get("id")): _timeless(each) for each in entries if isinstance(each, dict)}


def _timeless(action: dict[str, Any]) -> dict[str, Any]:
    """An action without the end that it gives: that moves with the clock, and is no other plan."""
    if action.get("reason") in TIME_REASONS:
        action = {**action, "details": []}  # they count the days
    certificate = action.get("certificate")
    if not isinstance(certificate, dict):
        return action
    lasting = {key: value for key, value in certificate.items() if key != "willExpire"}
    return {**action, "certificate": lasting}


def verb(action: dict[str, Any] | None) -> str:
    """What an action of a plan does, and why."""
    return "nothing" if action is None else f"{action.get('action')} ({action.get('reason')})"


def _change(before: object, now: object) -> str:
    """Both values; of long ones the part where they begin to differ."""
    old, new = _text(before), _text(now)
    differ = (place for place, (was, comes) in enumerate(zip(old, new, strict=False)) if was != comes)
    same = next(differ, min(len(old), len(new)))
    return f"{_part(old, same)} → {_part(new, same)}"


def _text(value: object) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)


def _part(text: str, place: int) -> str:
    """At most so much of a text, around a place in it."""
    if len(text) <= _LONGEST:
        return text
    begin = max(0, min(place - _LEAD, len(text) - _LONGEST))
    end = begin + _LONGEST
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"

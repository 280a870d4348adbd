"""Files that nothing uses any more, by their names: copies that people keep, and what a kubelet replaced."""

from __future__ import annotations

import re
from typing import Final

_ROTATED: Final = re.compile(r"/kubelet-(?:client|server)-\d{4}-[\d-]+\.pem$")
# At the start of a word: a threshold is not old. kubeadm works in /etc/kubernetes/tmp (`TempDir`).
_PUT_AWAY: Final = re.compile(
    r"/[^/]*(?:backup|\.bak|\.old|\bold|\.orig|\.save|~|expired|/tmp)[^/]*(?:/|$)|/tmp/", re.IGNORECASE
)


def is_put_away(path: str) -> bool:
    """Whether a file lies where people and kubeadm put copies away."""
    return _PUT_AWAY.search(path) is not None


def is_rotated(path: str) -> bool:
    """Whether a kubelet has written a file when it rotated; its link to the newest may have become a copy."""
    return _ROTATED.search(path) is not None

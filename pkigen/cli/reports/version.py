"""What every document of results says of its form (docs/reference/output.md)."""

from __future__ import annotations

from typing import Final

API_VERSION: Final = "pkigen/v1"

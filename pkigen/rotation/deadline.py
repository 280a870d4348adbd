"""How long a look at what endpoints serve may take; options show it, and look at nothing."""

from __future__ import annotations

from datetime import timedelta

DEADLINE = timedelta(minutes=1)
"""All endpoints together, where nobody says otherwise; thousands that answer take less."""

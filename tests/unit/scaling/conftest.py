"""Hypothesis for this folder: no deadlines, because no unit test asserts a time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")

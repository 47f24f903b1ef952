"""A folder of tables for each test, and streams of the kind that clients send."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def tables_folder(tmp_path: Path, settings: Settings) -> Path:
    """Where this test's tables are."""
    settings.TABLES_FOLDER = tmp_path / "tables"
    return tmp_path / "tables"

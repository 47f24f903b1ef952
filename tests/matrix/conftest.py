"""A folder of its own for what each scene has in files."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def _tables_folder(tmp_path: Path, settings: Settings) -> None:
    settings.TABLES_FOLDER = tmp_path / "tables"

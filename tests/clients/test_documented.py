"""The lines that docs/workflows shows to point each SDK here are taken by that SDK, as they stand."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import installed
from tests.clients.documented import PAGES
from tests.clients.environment import Client

RELEASES = {Client.SDK: "8.61.0", Client.SDK_7_54: "7.54.0", Client.SDK_7_40: "7.40.1"}

# Runs each in a place of its own, and tells which it could not run. Nothing listens where they point.
_TRY = """
import json, sys, traceback
told = {}
for name, text in json.load(sys.stdin).items():
    try:
        exec(compile(text, name, "exec"), {"KEY": "ak-nothing", "SPACE": "U3BhY2U6MTphYmNk"})
    except Exception:
        told[name] = traceback.format_exc()
print(json.dumps(told))
"""


def constructors(release: str) -> dict[str, str]:
    """Return the blocks under the headings of a release, by page and place."""
    found: dict[str, str] = {}
    for page in sorted(PAGES.glob("*.md")):
        for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            heading, _, body = section.partition("\n")
            if release not in heading:
                continue
            blocks = re.findall(r"^```python\n(.*?)^```$", body, re.DOTALL | re.MULTILINE)
            found |= {f"{page.name} {number}": text for number, text in enumerate(blocks) if text.startswith("from ")}
    return found


@pytest.mark.parametrize("client", RELEASES)
def test_every_constructor_is_taken_by_its_sdk(client: Client, tmp_path: Path) -> None:
    blocks = constructors(RELEASES[client])
    (tmp_path / "ca.pem").touch()  # some look whether it is there

    done = subprocess.run(
        [str(installed(client) / "python"), "-c", _TRY],
        input=json.dumps(blocks),
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert len(blocks) >= 12  # in plaintext and behind TLS, on six pages at least
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_every_page_has_lines_for_every_release() -> None:
    pages = {page.name for page in PAGES.glob("*.md")} - {"README.md", "traces.md"}

    for release in RELEASES.values():
        shown = {name.partition(" ")[0] for name in constructors(release)}
        # GraphQL's prompt hub is of one release alone, and the page says so.
        assert pages - shown == (set() if release == "7.54.0" else {"prompts.md"})

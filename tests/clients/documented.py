"""What docs/workflows tells people to put into their environment."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

PAGES = Path(__file__).resolve().parent.parent.parent / "docs" / "workflows"


def exported(heading: str, instead: dict[str, str]) -> dict[str, str]:
    """Return the variables that the front page exports under a heading, with other values where ours are others."""
    text = (PAGES / "README.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    block = re.search(r"^```bash\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert block is not None, heading
    words = [word for word in shlex.split(block[1]) if word != "export"]
    shown = dict(word.split("=", 1) for word in words)
    assert set(instead) <= set(shown.values()), f"{heading} has no {set(instead) - set(shown.values())}"
    return {name: instead.get(value, value) for name, value in shown.items()}

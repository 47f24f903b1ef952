"""README's promises: the two commands, by the letter, and every setting explained."""

from __future__ import annotations

import re
from pathlib import Path

from tests.clients import environment

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"

INSTALL = "python3 -m venv .venv && .venv/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r"


def test_the_first_two_sh_blocks_are_the_two_commands() -> None:
    blocks = re.findall(r"^```sh\n(.*?)\n```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)

    assert blocks[:2] == [
        f"{INSTALL} requirements.txt && .venv/bin/python manage.py quickstart",
        f"{INSTALL} requirements-dev.txt && .venv/bin/pytest -n auto",
    ]


def test_every_variable_that_is_read_is_explained() -> None:
    read = {
        name
        for app in ("accounts", "apikeys", "arizekeys")
        for path in (ROOT / app).rglob("*.py")
        for name in re.findall(r"env\.\w+\(\s*\"([A-Z_]+)\"", path.read_text(encoding="utf-8"))
    }
    explained = set(re.findall(r"`([A-Z_]+)`", README.read_text(encoding="utf-8")))

    assert "ARIZEKEYS_ALLOWED_HOSTS" in read
    assert read - explained == set()


def test_every_file_and_page_that_is_linked_exists() -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", README.read_text(encoding="utf-8"))

    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_file_that_a_page_about_workflows_links_exists() -> None:
    folder = ROOT / "docs" / "workflows"
    links = [
        (page, target)
        for page in folder.glob("*.md")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    ]

    assert len(links) > 10
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []


def test_requirements_are_exact_hashed_and_name_no_address() -> None:
    """security.md 54."""
    ours = list(ROOT.glob("requirements*.txt"))
    clients = list(Path(environment.__file__).parent.glob("requirements*.txt"))
    assert (len(ours), len(clients)) == (2, len(environment.Client))
    for path in ours + clients:
        text = path.read_text(encoding="utf-8")
        entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]

        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
        assert not re.search(r"https?:|file:|--index|--find-links|--extra", text)


def test_both_requirements_files_pin_the_same_versions() -> None:
    pins = [
        dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("requirements.txt", "requirements-dev.txt")
    ]

    assert pins[0].items() <= pins[1].items()

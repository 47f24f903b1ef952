"""The command line: as the operator, or on behalf of a person where a command offers that."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from unittest import mock

from django.core.management import call_command, get_commands

from accounts.actors import Door as Threshold
from tests.matrix.doors.ways import Door, Instead, Of, Way
from tests.matrix.fates import Fate
from tests.matrix.scene import BOT, NOBODY, OPERATOR, Scene

COMMAND = Door(
    "command",
    Threshold.COMMAND,
    instead={NOBODY: None, BOT: None},
    because="Whoever has the command line is the operator, and acts as such or as a person; never as a bot.",
)
_FATES = {
    "role_above_own": Fate.ABOVE,
    "not_allowed": Fate.AGAINST,
    "not_found": Fate.ABSENT,
    "key_not_found": Fate.ABSENT,
    "forbidden": Fate.FORBIDDEN,
    "developer_access_off": Fate.FORBIDDEN,
}
_OURS = ("accounts", "apikeys", "arizekeys")


@dataclass(frozen=True, kw_only=True)
class CommandWay(Way):
    """One command with its arguments."""

    door = COMMAND
    arguments: Of[Sequence[str]]
    for_people: bool
    typed: str | None  # where a command asks for a password; such commands are Django's, and answer in no JSON

    def expected(self, who: str, cell: Fate | None) -> Fate | None:
        """Return what the command shall end with."""
        return super().expected(who, cell) if self._can_be_given_by(who) else None

    def asks_about(self, who: str) -> bool:
        """Whether the table decides what the command ends with."""
        return self._can_be_given_by(who) and super().asks_about(who)

    def ask(self, scene: Scene) -> Fate | str:
        """Run it."""
        said = io.StringIO()
        try:
            with mock.patch("getpass.getpass", return_value=self.typed):
                form = ["--json"] if self.typed is None else []
                call_command(self.name, *self.arguments(scene), *form, stdout=io.StringIO(), stderr=said)
        except SystemExit as ended:
            text = said.getvalue()
            code = json.loads(text)["error"]["code"] if text.startswith("{") else ""
            return _FATES.get(code, f"exit code {ended.code}: {text}")
        return Fate.MADE

    def _can_be_given_by(self, who: str) -> bool:
        return who == OPERATOR or self.for_people


def command(
    name: str,
    arguments: Of[Sequence[str]],
    *,
    for_people: bool = False,
    typed: str | None = None,
    looks: bool = False,
    differs: Instead | None = None,
    because: str = "",
) -> Way:
    """Do something with a command: as the operator alone, or ``for_people`` on behalf of one, too."""
    return CommandWay(
        name=name,
        looks=looks,
        arguments=arguments,
        for_people=for_people,
        typed=typed,
        differs=differs or {},
        because=because,
    )


def behalf(scene: Scene) -> list[str]:
    """Return what says on whose behalf the caller's command acts."""
    return [] if scene.who == OPERATOR or scene.caller is None else ["--user", scene.caller.email]


def offered() -> set[str]:
    """Return every command of ours."""
    return {name for name, app in get_commands().items() if app in _OURS}

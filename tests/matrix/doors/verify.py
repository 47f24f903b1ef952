"""``/verify``: what a proxy hears about the caller's key, in front of Django and asked anew each time."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from django.test import RequestFactory

from accounts.actors import Door as Threshold
from accounts.models import Space
from accounts.vocabulary import Permission
from apikeys.epochs import Epochs
from apikeys.forward_auth import PATH, ForwardAuth
from apikeys.limits import Limiter
from apikeys.usage import Uses
from tests.matrix.doors.ways import Door, Of, Way, wire
from tests.matrix.fates import Fate
from tests.matrix.scene import OPERATOR, Scene

VERIFY = Door(
    "verify",
    Threshold.VERIFY,
    instead={OPERATOR: Fate.UNAUTHORIZED, Fate.ABSENT: Fate.FORBIDDEN},
    because="An operator has no key. A proxy hears whether to let somebody in, and not what there is behind it.",
)
_FATES = {204: Fate.MADE, 401: Fate.UNAUTHORIZED, 403: Fate.FORBIDDEN}


@dataclass(frozen=True, kw_only=True)
class VerifyWay(Way):
    """A question: whether the caller's key may do something in a space."""

    door = VERIFY
    permission: Permission
    space: Of[Space]

    def ask(self, scene: Scene) -> Fate | str:
        """Ask it, of a host that remembers nothing: no follower gives it the right to."""
        question = f"{PATH}?space={wire(self.space(scene))}&permission={self.permission}"
        environ = RequestFactory().get(question).environ
        if scene.key:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {scene.key}"
        said: list[str] = []
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with closing(Epochs(folder / "epochs")) as epochs, closing(Limiter(folder / "limits")) as limiter:
                body = b"".join(ForwardAuth(epochs, limiter, Uses())(environ, lambda status, _: said.append(status)))
        return _FATES.get(int(said[0].split()[0]), f"{said[0]}: {body.decode()}")


def verified(permission: Permission, space: Of[Space] = lambda scene: scene.space) -> Way:
    """Ask whether the caller's key may do something in a space."""
    return VerifyWay(name=PATH, looks=True, permission=permission, space=space)


def offered() -> set[str]:
    """Return the one address."""
    return {PATH}

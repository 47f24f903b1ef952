"""``GET /v2/api-keys/{id}/explain``: why a key may, or may not. An addition of ours: the vendor has nothing like it."""

from __future__ import annotations

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint, path_id
from accounts.rest.examples import IDS, MEMBER
from accounts.rest.role_objects import RoleOut
from accounts.rest.shapes import Absent, IdOut, OneOf, Shape, WireId
from accounts.vocabulary import Permission
from apikeys.explanation import Outcome, Step, Verdict, explain

_CURRENT, _PREVIOUS = "CURRENT", "PREVIOUS"


class Question(Shape):
    """What to explain."""

    space_id = WireId("Space", required=False, help_text="Where. Left out, with `organization_id`: in the account.")
    organization_id = WireId("Organization", required=False, help_text="Where, in place of a space.")
    permission = OneOf(
        [permission.value for permission in Permission],
        required=False,
        help_text="What. Left out: whether the key gets in there; of the account, whether it opens at all.",
    )
    secret = OneOf(
        (_CURRENT, _PREVIOUS),
        default=_CURRENT,
        help_text="PREVIOUS: the secret before the last refresh, which whoever missed it still sends.",
    )


class FactOut(Absent):
    """One thing that is asked, and what the answer is."""

    fact = serializers.ChoiceField([step.value for step in Step], source="step", help_text="What is asked.")
    verdict = serializers.ChoiceField(
        [verdict.value for verdict in Verdict],
        help_text="PASSES: no obstacle. REFUSES: nothing further is asked. PERMITS: a role that counts permits it. "
        "SILENT: no role, or one that does not count or does not permit it.",
    )
    decided = serializers.BooleanField(help_text="Whether this is the one fact that the outcome rests on.")
    says = serializers.CharField(help_text="The same for people.")
    role = RoleOut(required=False, help_text="The role it is about, where you may know which.")


class ExplanationOut(Absent):
    """Why a key may, or may not."""

    api_key_id = IdOut("ApiKey", source="key.pk")
    space_id = IdOut("Space", required=False)
    organization_id = IdOut("Organization", required=False)
    permission = serializers.CharField(required=False, help_text="What was asked about. Absent: whether it gets in.")
    allowed = serializers.BooleanField(help_text="Whether it may.")
    outcome = serializers.ChoiceField(
        [outcome.value for outcome in Outcome],
        help_text="FORBIDDEN: it may not do this there. LOCKED: the account's lock keeps it out. REFUSED: it opens "
        "nothing.",
    )
    status = serializers.IntegerField(help_text="How `/verify` answers the same question.")
    says = serializers.CharField(help_text="The outcome for people.")
    facts = FactOut(many=True, help_text="In the order in which they are asked, up to the one that decides.")


_EXAMPLE = {
    "api_key_id": IDS["ApiKey"],
    "space_id": IDS["Space"],
    "permission": "DATASET_CREATE",
    "allowed": True,
    "outcome": "ALLOWED",
    "status": 204,
    "says": "The key may DATASET_CREATE in production.",
    "facts": [
        {"fact": "REVOCATION", "verdict": "PASSES", "decided": False, "says": "Nobody has revoked it."},
        {
            "fact": "SPACE_ROLE",
            "verdict": "PERMITS",
            "decided": True,
            "says": "Member in production, which permits DATASET_CREATE.",
            "role": MEMBER,
        },
    ],
}


class KeyExplanation(Endpoint):
    """Why a key may, or may not."""

    access = {
        "GET": "The key's owner, whoever made it, and account admins, wherever they can look. Others about "
        "service keys of spaces where they have SERVICE_KEY_READ, and about those spaces only."
    }

    @operation(
        id="explain_api_key",
        tag="API keys",
        summary="Explain what an API key may do",
        text="Says why a key may, or may not, do something in a space, an organization or the account: each fact that "
        "is asked, in order, and the one that decides. It is what a request with the key would come to at this moment. "
        "Not part of the vendor's API.",
        query=Question,
        path={"api_key_id": "ApiKey"},
        success=(200, answer(ExplanationOut, {"Permitted by a role in the space": _EXAMPLE})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, api_key_id: str) -> Response:
        """Explain it."""
        number = path_id(api_key_id, "ApiKey")
        asked = self.query(Question)
        told = explain(
            self.actor,
            number,
            space_id=asked.get("space_id"),
            organization_id=asked.get("organization_id"),
            permission=Permission(asked["permission"]) if "permission" in asked else None,
            previous=asked["secret"] == _PREVIOUS,
            at=timezone.now(),
        )
        return Response(ExplanationOut(told).data)

"""``/v2/api-keys``: create, list, refresh, revoke (contract rest-v2 §5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import Actor
from accounts.errors import Incompatible, NotFound
from accounts.models import Space, User
from accounts.paging import paginate
from accounts.people import find_member
from accounts.permissions import find_seen
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint, paged, path_id
from accounts.rest.examples import page_of
from accounts.rest.problems import Fault, Malformed
from apikeys.lifecycle import NewKey, create_service_key, create_user_key, refresh_key, revoke_key
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyKind, KeyStatus
from apikeys.policy import (
    KeyBindings,
    bindings_of,
    find_key,
    service_keys_created_by,
    service_keys_of,
    user_keys,
)
from apikeys.rest.examples import (
    CREATE_SERVICE_KEY,
    CREATE_USER_KEY,
    NEW_SERVICE_KEY,
    NEW_USER_KEY,
    REFRESHED_KEY,
    SERVICE_KEY,
    USER_KEY,
)
from apikeys.rest.grants import roles_and_grants
from apikeys.rest.serializers import (
    CreatedServiceKey,
    CreatedUserKey,
    CreateServiceKey,
    CreateUserKey,
    KeyPage,
    KeyQuery,
    RefreshedKey,
    RefreshedKeyOut,
    RefreshKey,
    ServiceKeyOut,
    UserKeyOut,
    bot_out,
)

_TAG = "API keys"
_BODIES: dict[str, type[CreateUserKey]] = {"USER": CreateUserKey, "SERVICE": CreateServiceKey}


class KeyEndpoint(Endpoint):
    """An endpoint that hands out keys."""

    def _shown(self, answer: Any, new: NewKey, *, status: int) -> Response:
        return self.with_secret(Response(answer, status=status), "key", new.plaintext, new.key.wire_id)


class KeyList(KeyEndpoint):
    """Keys the caller may list, and where new ones come from."""

    access = {
        "GET": "Any valid key for its own user's keys; another user's keys: account admins; the service keys of a "
        "space: SERVICE_KEY_READ there.",
        "POST": "Developer access. A user key: any person, for themselves. A service key: SERVICE_KEY_CREATE in every "
        "space named, and no role above one's own.",
    }

    @operation(
        id="list_api_keys",
        tag=_TAG,
        summary="List API keys",
        text="Newest first, without secrets. By default your own user keys that are valid for use. "
        "`key_type=SERVICE` alone lists the service keys you made; with `space_id`, all service keys bound to that "
        "space, without saying where else they are bound. Keys that have expired are in no list: they are not valid "
        "for use, and nobody revoked them.",
        query=KeyQuery,
        success=(
            200,
            answer(
                KeyPage,
                {
                    "User keys": page_of("api_keys", USER_KEY),
                    "Service keys": page_of("api_keys", SERVICE_KEY),
                },
            ),
        ),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request) -> Response:
        """List keys."""
        query, at = self.query(KeyQuery), timezone.now()
        keys = _listed(self.actor, query).with_status(KeyStatus(query["status"]), at=at)
        page = paginate(keys.select_related("owner", "use"), cursor=query["cursor"], limit=query["limit"])
        bindings = bindings_of(page.items)
        bots = {
            key.pk: bot_out(key, bindings.get(key.pk, KeyBindings()), with_scopes="space_id" not in query)
            for key in page.items
            if key.is_service_key
        }
        return paged("api_keys", page, [_dressed(key, bots, at) for key in page.items])

    @operation(
        id="create_api_key",
        tag=_TAG,
        summary="Create an API key",
        text="A user key is you: it may always do what you may do. A service key belongs to a bot user made for it, "
        "with the roles given here and no others; it goes on when you leave. Roles above your own are refused with "
        "422. The full key is in this answer and never shown again.",
        request=PolymorphicProxySerializer(
            component_name="CreateKey",
            serializers={**_BODIES},
            resource_type_field_name="key_type",
            help_text="A new key, of either kind.",
        ),
        success=(
            201,
            answer(
                PolymorphicProxySerializer(
                    component_name="CreatedKey",
                    serializers={"USER": CreatedUserKey, "SERVICE": CreatedServiceKey},
                    resource_type_field_name="key_type",
                    help_text="A new key.",
                ),
                {"A user key": NEW_USER_KEY, "A service key": NEW_SERVICE_KEY},
                "A new key.",
            ),
        ),
        problems=(400, 401, 403, 404, 422, 429),
        examples=[
            OpenApiExample("A user key", value=CREATE_USER_KEY, request_only=True),
            OpenApiExample("A service key", value=CREATE_SERVICE_KEY, request_only=True),
        ],
    )
    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        """Create a user key or a service key, as the body's ``key_type`` says."""
        at = timezone.now()
        body = self.body(_body_for(self.sent()))
        if body["key_type"] == KeyKind.USER:
            new = create_user_key(self.actor, **_common(body), at=at)
            return self._shown(UserKeyOut(new.key, context={"at": at}).data, new, status=201)
        account_role, grants = roles_and_grants(self.actor, body)
        new = create_service_key(self.actor, **_common(body), account_role=account_role, organizations=grants, at=at)
        bots = {new.key.pk: bot_out(new.key, bindings_of([new.key])[new.key.pk])}
        return self._shown(ServiceKeyOut(new.key, context={"at": at, "bots": bots}).data, new, status=201)


class KeyRefresh(KeyEndpoint):
    """A key's new secret."""

    access = {
        "POST": "Developer access. A user key: its owner. A service key: admins of all its spaces, or whoever made it "
        "with SERVICE_KEY_CREATE in all of them, and only while the key can do no more than they. Account admins: any."
    }

    @operation(
        id="refresh_api_key",
        tag=_TAG,
        summary="Refresh an API key",
        text="Gives the key a new secret, shown in this answer and never again. The key keeps its ID, name, roles and "
        "history. The old secret dies at once, or after the grace period, and never later than it would have. A "
        "key that expires needs `expires_at`, no later than before: refreshing never lengthens a life.",
        path={"api_key_id": "ApiKey"},
        request=RefreshKey,
        success=(200, answer(RefreshedKey, {"A service key": REFRESHED_KEY})),
        problems=(400, 401, 403, 404, 422, 429),
        examples=[
            OpenApiExample("At once", value={}, request_only=True),
            OpenApiExample("With an hour to move over", value={"grace_period_seconds": 3600}, request_only=True),
        ],
    )
    @method_decorator(sensitive_variables())
    def post(self, request: Request, api_key_id: str) -> Response:
        """Give the key a new secret."""
        at = timezone.now()
        number = path_id(api_key_id, "ApiKey")
        body = self.body(RefreshKey)
        new = refresh_key(
            self.actor,
            find_key(self.actor, number),
            expires_at=body.get("expires_at"),
            grace=timedelta(seconds=body.get("grace_period_seconds", 0)),
            at=at,
        )
        return self._shown(RefreshedKeyOut(new.key, context={"at": at}).data, new, status=200)


class KeyRevocation(Endpoint):
    """A key's end."""

    access = {
        "PUT": "A user key: its owner. A service key: admins of all its spaces, or whoever made it with "
        "SERVICE_KEY_REVOKE in all of them. Account admins: any."
    }

    @operation(
        id="revoke_api_key",
        tag=_TAG,
        summary="Revoke an API key",
        text="At once and for good: the next call with the key is refused. Revoking again changes nothing. No body.",
        path={"api_key_id": "ApiKey"},
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def put(self, request: Request, api_key_id: str) -> Response:
        """End the key."""
        key = find_key(self.actor, path_id(api_key_id, "ApiKey"))
        revoke_key(self.actor, key, at=timezone.now())
        return Response(status=204)


def _listed(actor: Actor, query: dict[str, Any]) -> ApiKeyQuerySet:
    """Return the keys a query asks for, of any status (contract rest-v2 §5.2)."""
    kind, user = query.get("key_type"), query.get("user_id")
    if "space_id" in query:
        if kind == KeyKind.USER:
            raise Incompatible("User keys belong to no space: leave this out, or ask for SERVICE.", field="space_id")
        keys = service_keys_of(actor, find_seen(actor, Space, query["space_id"]))
        return keys if user is None else keys.filter(created_by=user)
    asked = service_keys_created_by if kind == KeyKind.SERVICE else user_keys
    if user is None or (actor.user is not None and user == actor.user.pk):
        return asked(actor, _myself(actor))
    # The refusal comes before the look-up, so that whoever may not ask learns nothing about who there is.
    keys = asked(actor, User(pk=user))
    if not keys.exists():
        find_member(actor, user)
    return keys


def _myself(actor: Actor) -> User:
    if actor.user is None:
        raise NotFound("There is no such user.")
    return actor.user


def _body_for(data: Any) -> type[CreateUserKey]:
    kind = data.get("key_type") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in _BODIES:
        raise Malformed([Fault(("key_type",), "This must be USER or SERVICE.")])
    return _BODIES[kind]


def _common(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": body["name"],
        "description": body.get("description", ""),
        "expires_at": body.get("expires_at"),
    }


def _dressed(key: ApiKey, bots: dict[int, dict[str, Any]], at: datetime) -> dict[str, Any]:
    context = {"at": at, "bots": bots}
    out: type[RefreshedKeyOut] = ServiceKeyOut if key.is_service_key else UserKeyOut
    return dict(out(key, context=context).data)

"""A project with an empty view behind each of the peers, as its documentation says to guard one, and an unguarded one.

No middleware: what is measured is the peer, not what else a project has. Runs in the peers' own environment.

    python project.py migrate
"""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for benchmarks",  # noqa: S106 -- protects nothing
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["BENCHMARK_HOST"],
            "USER": os.environ["BENCHMARK_USER"],
            "NAME": os.environ["BENCHMARK_NAME"],
            "CONN_MAX_AGE": 60,
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "rest_framework.authtoken",
        "rest_framework_api_key",
        "knox",
        "oauth2_provider",
    ],
    MIDDLEWARE=[],
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    OAUTH2_PROVIDER={"SCOPES": {"introspection": "Introspect tokens"}},
)
django.setup()

from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from knox.auth import TokenAuthentication as KnoxAuthentication
from oauth2_provider.views import IntrospectTokenView
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.permissions import HasAPIKey


def empty(request: HttpRequest) -> HttpResponse:
    """Answer without looking."""
    return HttpResponse(status=204)


class _Empty(APIView):
    authentication_classes = ()

    def get(self, request: Request) -> Response:
        """Answer whoever gets in."""
        return Response(status=204)


class WithToken(_Empty):
    """Guarded by Django REST framework's own tokens."""

    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)


class WithKnox(_Empty):
    """Guarded by django-rest-knox."""

    authentication_classes = (KnoxAuthentication,)
    permission_classes = (IsAuthenticated,)


class WithApiKey(_Empty):
    """Guarded by djangorestframework-api-key."""

    permission_classes = (HasAPIKey,)


urlpatterns = [
    path("empty", empty),
    path("token", WithToken.as_view()),
    path("knox", WithKnox.as_view()),
    path("api-key", WithApiKey.as_view()),
    path("introspect", IntrospectTokenView.as_view()),
]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)

"""`manage.py serveflight` at a test's own database: ``python -m tests.workflows.serve`` with its arguments."""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arizekeys.settings")

if __name__ == "__main__":
    import django
    from django.conf import settings
    from django.core.management import call_command

    given = json.loads(os.environ["FLIGHT_SERVER"])
    settings.DATABASES["default"].update(given["database"])
    settings.TABLES_FOLDER = settings.DATA_FOLDER.__class__(given["tables"])
    django.setup()
    call_command("serveflight", *sys.argv[1:])

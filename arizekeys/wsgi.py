"""What an application server loads: `granian --interface wsgi arizekeys.wsgi:application`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arizekeys.settings")

application = get_wsgi_application()

"""The command line of arizekeys: `manage.py quickstart` starts it, `manage.py help` lists the rest."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run one command; a wrong setting ends in a sentence, not in a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arizekeys.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured  # -- may be missing, see below
        from django.core.management import execute_from_command_line  # -- may be missing, see below
    except ModuleNotFoundError:
        sys.exit("Django is not installed for this Python: set up the project with the first command in README.md.")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"arizekeys cannot start: {error}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

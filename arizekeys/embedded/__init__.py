"""A Django database engine that starts the embedded PostgreSQL on the first connection, and never before.

So `manage.py help`, `check` and an import of the settings need no server, and everything else finds one.
"""

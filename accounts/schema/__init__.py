"""The ground floor over GraphQL: accounts, organizations, spaces, people and roles.

Reading starts from what the caller may see, writing calls one verb per field; joined with the other floors' types in
``arizekeys.schema``.
"""

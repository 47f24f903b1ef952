"""Permissions by category: every name stands in exactly one place."""

from __future__ import annotations

from collections import Counter

from accounts.categories import CATEGORIES, RESOURCES, WITHOUT_EFFECT_IN_SPACES, action_of, difference, parts_of
from accounts.roles import PREDEFINED, Level, RoleName
from accounts.vocabulary import Permission


def test_every_permission_stands_in_one_category_once() -> None:
    listed = Counter(permission for category in CATEGORIES for permission in category.permissions)

    assert listed == Counter(Permission)


def test_labels_and_keys_tell_things_apart() -> None:
    assert len({resource.label for resource in RESOURCES}) == len(RESOURCES) == 41
    assert len({category.key for category in CATEGORIES}) == len(CATEGORIES)


def test_actions_come_in_the_order_people_think_of_them() -> None:
    queues = next(resource for resource in RESOURCES if resource.name == "QUEUE_RECORD")

    assert [action_of(one) for one in queues.permissions] == ["read", "create", "update", "delete", "annotate"]


def test_parts_leave_out_what_there_is_nothing_of() -> None:
    parts = parts_of(["DATASET_READ", "DATASET_CREATE", "ALYX_RUN", "NO_SUCH_THING"])

    assert [(part.resource.label, part.actions, part.is_whole) for part in parts] == [
        ("Datasets", "Read, create", False),
        ("Alyx, the assistant", "Run", True),
    ]


def test_parts_are_told_shortly_where_what_there_is_stands_beside_them() -> None:
    parts = parts_of(["PROJECT_READ", "PROJECT_CREATE", "PROJECT_UPDATE", "PROJECT_DELETE", "TAG_READ", "ALYX_RUN"])

    assert [part.shortly for part in parts] == ["All but restrict", "All", "Read"]


def test_a_difference_tells_what_came_and_what_went() -> None:
    found = difference(["DATASET_READ", "TAG_READ"], ["DATASET_READ", "DATASET_DELETE"])

    assert [(part.resource.label, part.actions) for part in found.added] == [("Tags", "Read")]
    assert [(part.resource.label, part.actions) for part in found.missing] == [("Datasets", "Delete")]
    assert not found.is_none
    assert difference(["TAG_READ"], ["TAG_READ"]).is_none


def test_what_a_space_admin_lacks_has_no_effect_in_spaces() -> None:
    """The other way round need not be: a space admin reads people and roles, through the account role."""
    admin = next(row for row in PREDEFINED if (row.level, row.name) == (Level.SPACE, RoleName.ADMIN))

    assert set(Permission) - admin.permissions <= WITHOUT_EFFECT_IN_SPACES

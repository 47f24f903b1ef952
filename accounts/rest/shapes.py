"""What may be in a request, strictly: closed objects, no coercion, and error texts that never repeat a value.

Serializers made of these check shape; whether the caller may do it is for the verbs to say.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers
from rest_framework.settings import api_settings

from accounts.errors import Invalid
from accounts.moments import NO_MOMENT, read_moment
from accounts.rest.problems import Fault, Malformed
from accounts.wire import decode_id, encode_id

MAX_LIMIT = 100
DEFAULT_LIMIT = 50  # contract rest-v2 §4.3
MAX_CURSOR = 100

# The name of an unknown property is the caller's text: enough of it to find the typing error.
_NAME_SHOWN = 40

_WHOLE = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_LINE_BREAKS = frozenset("\n\r\t")

# The same rules about characters, as the OpenAPI document tells them: no control characters, and of a name, something
# to see.
_PLAIN = r"[^\u0000-\u001F\u007F-\u009F]"
_PLAIN_LINES = r"[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]"
_VISIBLE = r"[^\s\u0000-\u001F\u007F-\u009F]"
# What IDs are of, where that is not said by the name of the type.
_WORDS = {"ApiKey": "API key", "Model": "project"}


class Shape(serializers.Serializer[Any]):
    """A closed JSON object: a property it does not know is an error (contract rest-v2 §4.1)."""

    default_error_messages = {"invalid": "This must be an object."}

    def to_internal_value(self, data: Any) -> Any:
        """Check every property, known or not."""
        if not isinstance(data, Mapping):
            self.fail("invalid")
        unknown = {_shown(name): ["There is no such property."] for name in data if name not in self.fields}
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **unknown}) from None
            raise
        if unknown:
            raise serializers.ValidationError(unknown)
        return value


class AtLeastOne(Shape):
    """An object in which every property may be left out, but not all of them."""

    def to_internal_value(self, data: Any) -> Any:
        """Check every property, then that there is one."""
        value = super().to_internal_value(data)
        if not value:
            names = ", ".join(self.fields)
            raise serializers.ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [f"Give at least one of {names}."]})
        return value


class Text(serializers.CharField):
    """A string, and only a string: nothing is turned into one, and control characters are refused."""

    default_error_messages = {
        "invalid": "This must be a string.",
        "blank": "This must not be empty.",
        "control": "Control characters are not allowed here.",
        "max_length": "This may have at most {max_length} characters.",
    }

    def __init__(self, *, multiline: bool = False, null_as: str | None = None, **kwargs: Any) -> None:
        self.multiline, self.null_as = multiline, null_as
        super().__init__(trim_whitespace=False, **kwargs)

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return {"pattern": f"^{_PLAIN_LINES if self.multiline else _PLAIN}*$"}

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Check the text; ``null`` stands for what the field says it does."""
        value = super().run_validation(data)
        return self.null_as if value is None else value

    def to_internal_value(self, data: Any) -> str:
        """Return the string as it came."""
        if not isinstance(data, str):
            self.fail("invalid")
        allowed = _LINE_BREAKS if self.multiline else frozenset[str]()
        if any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in allowed for letter in data):
            self.fail("control")
        return data


class Name(Text):
    """What something is called: not only blanks. Those around it the verbs take off."""

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        plain = _PLAIN_LINES if self.multiline else _PLAIN
        return {"pattern": f"^{plain}*{_VISIBLE}{plain}*$"}

    def to_internal_value(self, data: Any) -> str:
        """Return the string as it came."""
        text = super().to_internal_value(data)
        if not text.strip():
            self.fail("blank")
        return text


class Cursor(Text):
    """Where a list goes on, as an earlier page said; empty for its beginning."""

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return {"format": "cursor"}


class Whole(serializers.IntegerField):
    """A JSON integer, which 1.0 is as well: no string, no fraction, no boolean."""

    default_error_messages = {
        "invalid": "This must be an integer.",
        "max_value": "This may be at most {max_value}.",
        "min_value": "This must be at least {min_value}.",
    }

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if isinstance(data, float) and data.is_integer():
            return int(data)
        if type(data) is not int:  # a boolean is an int to isinstance
            self.fail("invalid")
        return data


class QueryWhole(Whole):
    """An integer in a query string."""

    def to_internal_value(self, data: Any) -> int:
        """Read the digits."""
        if not isinstance(data, str) or _WHOLE.fullmatch(data) is None:
            self.fail("invalid")
        return int(data)


class Flag(serializers.BooleanField):
    """A JSON boolean: no 0, no "yes"."""

    default_error_messages = {"invalid": "This must be true or false."}

    def to_internal_value(self, data: Any) -> bool:
        """Return it as it came."""
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class QueryFlag(Flag):
    """``true`` or ``false`` in a query string."""

    def to_internal_value(self, data: Any) -> bool:
        """Read the word."""
        if data not in ("true", "false"):
            self.fail("invalid")
        return bool(data == "true")


class OneOf(serializers.ChoiceField):
    """One of a few words, spelled exactly so."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        super().__init__(choices, **kwargs)
        self.error_messages["invalid_choice"] = f"This must be one of {', '.join(map(str, self.choices))}."

    def to_internal_value(self, data: Any) -> str:
        """Return the word."""
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice")
        return data


class Moment(serializers.DateTimeField):
    """A point in time; one without an offset is UTC (contract rest-v2 §4.1)."""

    default_error_messages = {"invalid": NO_MOMENT}

    def to_internal_value(self, value: Any) -> datetime:
        """Return the moment in UTC."""
        try:
            return read_moment(value)
        except ValueError:
            self.fail("invalid")


class WireId(Text):
    """The id of a row of one model, as clients know it; becomes the row's number."""

    def __init__(self, type_name: str, **kwargs: Any) -> None:
        self.type_name = type_name
        super().__init__(**kwargs)

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return described_id(self.type_name, str(self.field_name))

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Check the text, then what it says."""
        text = super().run_validation(data)
        if not isinstance(text, str):
            return text  # left out, and allowed to be
        try:
            return decode_id(text, self.type_name)
        except Invalid as error:
            raise serializers.ValidationError(error.detail) from None


class Many(serializers.ListField):
    """Several values of one kind: a list in a body, and in a query a parameter that may be repeated."""

    default_error_messages = {
        "not_a_list": "This must be a list.",
        "min_length": "This must not be empty.",
        "max_length": "This may be given at most {max_length} times.",
    }

    def __init__(self, child: serializers.Field[Any, Any, Any, Any], *, max_length: int, **kwargs: Any) -> None:
        super().__init__(child=child, min_length=1, max_length=max_length, **kwargs)


class PageQuery(Shape):
    """The two parameters of every list."""

    limit = QueryWhole(min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT, help_text="How many to return.")
    cursor = Cursor(
        max_length=MAX_CURSOR,
        allow_blank=True,
        default="",
        help_text="`next_cursor` of the page before. Keep the filters the same from page to page.",
    )


class Absent(serializers.Serializer[Any]):
    """An answer whose optional properties are left out, rather than null, where there is nothing to say."""

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Dress the instance without what is empty."""
        dressed = super().to_representation(instance)
        return {name: value for name, value in dressed.items() if value or self.fields[name].required}


class IdOut(serializers.CharField):
    """A row's number in an answer: the id that clients know."""

    def __init__(self, type_name: str, **kwargs: Any) -> None:
        self.type_name = type_name
        super().__init__(**kwargs)

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return described_id(self.type_name, str(self.field_name))

    def to_representation(self, value: Any) -> str:
        """Return the wire id."""
        return encode_id(self.type_name, value)


class Pagination(serializers.Serializer[Any]):
    """Whether there is more of a list, and where."""

    has_more = serializers.BooleanField(help_text="Whether there are more than these.")
    next_cursor = serializers.CharField(
        required=False, help_text="The `cursor` of the next page. Present when `has_more` is true."
    )


def described_id(type_name: str, name: str) -> dict[str, Any]:
    """Return what the OpenAPI document says of an ID, by what it is of and what the property is called."""
    words = _WORDS.get(type_name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type_name).lower()
    return {
        "format": f"{words.replace(' ', '-').lower()}-id",
        "description": "Its ID." if name == "id" else f"The {words}'s ID.",
    }


def repeatable(shape: type[Shape]) -> frozenset[str]:
    """Return the parameters of a query that may come more than once."""
    return frozenset(name for name, field in shape().fields.items() if isinstance(field, Many))


def cleaned(shape: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """Return what a request says, checked.

    Raises:
        Malformed: with every fault found.
    """
    serializer = shape(data=data)
    if not serializer.is_valid():
        raise Malformed(list(_faults(serializer.errors)))
    checked: dict[str, Any] = serializer.validated_data
    return checked


def _faults(errors: Any, where: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """Flatten what serializers say: objects by name, lists by index, leaves as lists of sentences."""
    if isinstance(errors, Mapping):
        for name, inner in errors.items():
            step = () if name == api_settings.NON_FIELD_ERRORS_KEY else (name,)
            yield from _faults(inner, (*where, *step))
        return
    for message in errors if isinstance(errors, list) else [errors]:
        yield Fault(where, str(message))


def _shown(name: Any) -> str:
    return "".join(letter if letter.isprintable() else "�" for letter in str(name))[:_NAME_SHOWN]

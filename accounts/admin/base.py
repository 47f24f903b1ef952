"""What every operator page has in common: only superusers act, only verbs write, and no list is ever counted whole."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Func, IntegerField, Model, QuerySet
from django.forms.models import construct_instance
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from accounts.actors import Actor
from accounts.errors import DomainError
from accounts.models import Account, AuditEvent, Organization, Project, Space
from accounts.recent import is_recent, to_confirmation
from accounts.redaction import KEY_PATTERN

M = TypeVar("M", bound=Model)
NOTHING = "–"

# Counting stops here: it is the number of rows PostgreSQL may touch before a page can be shown.
_COUNTED = 10_000
# The same, for the little counts beside each row of a list.
_COUNTED_BESIDE = 1_000
# As many accounts, organizations and so on as one still finds something among; the search finds the rest.
_OFFERED = 30

# What the widgets look for before they show it: a row's number, within what PostgreSQL calls a bigint.
_NUMBER = re.compile(r"[0-9]{1,18}")

# Never to be filtered by: "does the hash start with…" would give it away letter by letter.
_SECRET_COLUMNS = frozenset({"password", "digest"})

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin
    _ModelForm = forms.ModelForm
    _Paginator = Paginator[Any]
else:
    # Django's classes take no parameters at run time, only in their type stubs.
    _Paginator = Paginator

    class _ModelAdmin(admin.ModelAdmin):
        def __class_getitem__(cls, _: object) -> type:
            return cls

    class _ModelForm(forms.ModelForm):
        def __class_getitem__(cls, _: object) -> type:
            return cls


class BoundedPaginator(_Paginator):
    """Pages through the first ten thousand rows, and says that there are more instead of counting them."""

    @cached_property
    def count(self) -> int:
        """The number of rows, as far as they are counted."""
        return min(self._counted, _COUNTED)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than that."""
        return self._counted > _COUNTED

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list
        assert isinstance(rows, QuerySet)  # noqa: S101 -- Django admin pages through querysets only
        # The key alone, so that nothing is worked out for rows that are only counted.
        return rows.order_by().values("pk")[: _COUNTED + 1].count()


class _Numbered:
    """Asks for nothing that is no row's number. What was typed into an address or a form may be anything."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Return what is chosen, so far as it can be looked for."""
        numbers = [one for one in value if _NUMBER.fullmatch(str(one))]
        return super().optgroups(name, numbers, attr)  # type: ignore[misc]  # of the widget mixed into


class PickOne(_Numbered, AutocompleteSelect):
    """Django admin's field that searches while one types, fit for any input."""


class PickSome(_Numbered, AutocompleteSelectMultiple):
    """The same for several."""


class FewRelated(admin.RelatedFieldListFilter):
    """A filter by a related row that offers a few of them: a list of all would be longer than the page."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Any:
        """Offer the first few by name."""
        rows = field.remote_field.model._default_manager.order_by("name", "pk")[:_OFFERED]
        return [(row.pk, str(row)) for row in rows]

    def has_output(self) -> bool:
        """Show the filter where it can narrow something down."""
        return len(self.lookup_choices) > 1


class OneOf(admin.SimpleListFilter):
    """A filter by one of a few values known beforehand, without asking the table which values it holds."""

    values: tuple[tuple[str, str], ...] = ()

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the values."""
        return list(self.values)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows with the value chosen."""
        chosen = self.chosen
        return queryset if chosen is None else queryset.filter(**{str(self.parameter_name): chosen})

    @property
    def chosen(self) -> str | None:
        """The value chosen, if it is one of those offered."""
        return self.value() if self.value() in dict(self.values) else None


class OperatorAdmin(_ModelAdmin[M]):
    """A model as the operator sees it. By itself it shows and changes nothing.

    Whoever is staff without being a superuser sees what Django's "view" permissions open, and cannot act.
    """

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the whole table, once per choice
    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 200
    actions_selection_counter = True
    # Columns are sorted by clicking only where an index or a short table makes that cheap.
    sortable_by: ClassVar[tuple[str, ...]] = ()
    # What the pages show when nothing may be edited on them: for models without a form, all there is.
    shown: tuple[str, ...] = ()

    def operates(self, request: HttpRequest) -> bool:
        """Whether the caller may act."""
        return bool(request.user.is_active and request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: what has a verb says so itself."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Refuse: what has a verb says so itself."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Refuse: what has a verb says so itself."""
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether actions marked ``operate`` are offered and accepted."""
        return self.operates(request)

    def get_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        """Return the fields shown where nothing is edited."""
        return self.shown

    def get_readonly_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        """Make everything read-only where nothing is edited."""
        return self.shown

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Refuse to filter by a hash or a digest, on this model or through another."""
        if _SECRET_COLUMNS & set(lookup.split("__")):
            return False
        return super().lookup_allowed(lookup, value, request)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Search while one types, where that is wanted."""
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", PickOne(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def recently(self, request: HttpRequest) -> HttpResponseRedirect | None:
        """Send an operator who signed in too long ago to confirm it (security.md 38), where something is to change."""
        return None if is_recent(request) or not self.operates(request) else to_confirmation(request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or carry out a form. Looking at what is there needs no password again; filling in something new does."""
        sent_or_new = request.method == "POST" or object_id is None
        proof = self.recently(request) if sent_or_new else None
        return proof or super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, or carry out."""
        return self.recently(request) or super().delete_view(request, object_id, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the list; a whole key typed into its search is taken out of the address at once."""
        refuse_nul(request)
        if any(KEY_PATTERN.search(value) for values in request.GET.lists() for value in values[1]):
            self.message_user(
                request,
                "That was a whole API key, and it now stands in an address: in the browser's history and perhaps in "
                "a proxy's log. Refresh or revoke it. To find it, search for its first six or its last three letters "
                "in the form ak-abc...xyz.",
                messages.ERROR,
            )
            return HttpResponseRedirect(request.path)
        return super().changelist_view(request, extra_context)

    @admin.display(description="audit trail")
    def trail(self, obj: M) -> SafeString:
        """Link to what happened to this row."""
        return listed("What happened to it", AuditEvent, target_type=type(obj).__name__, target_id=obj.pk)


class VerbForm(_ModelForm[M]):
    """A form whose last step of validation is to carry it out, so that a verb's refusal is an error of the form.

    Subclasses say how in ``carry_out``, and which account the operator acts in. There ``self.instance`` already carries
    what was typed; ``self.before`` is the row as it stands in the database.
    """

    request: HttpRequest

    def carry_out(self, actor: Actor) -> M:
        """Call the verbs, and return the row they made or changed."""
        raise NotImplementedError

    def account_acted_in(self) -> Account | None:
        """Return the account whose affairs these are."""
        raise NotImplementedError

    @cached_property
    def before(self) -> M:
        """The row that is being changed, untouched."""
        return self._meta.model._default_manager.get(pk=self.instance.pk)

    def _post_clean(self) -> None:
        # Django's own, without asking for unique names and for the table's constraints: the verb says these better.
        exclude = self._get_validation_exclusions()  # type: ignore[attr-defined]  # not in the stubs
        self.instance = construct_instance(self, self.instance, self._meta.fields, self._meta.exclude)
        try:
            self.instance.full_clean(exclude=exclude, validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            self._update_errors(error)  # type: ignore[attr-defined]  # not in the stubs
        if self.errors:
            return
        actor = Actor.from_admin(self.request, self.account_acted_in())
        try:
            with transaction.atomic():  # several verbs of one form succeed together or not at all
                self.instance = self.carry_out(actor)
        except DomainError as refusal:
            self.add_error(refusal.field if refusal.field in self.fields else None, refusal.detail)


class VerbAdmin(OperatorAdmin[M]):
    """A model that superusers create or change through forms that call verbs."""

    add_form: type[VerbForm[Any]] | None = None
    change_form: type[VerbForm[Any]] | None = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let superusers add where there is a verb for it."""
        return self.add_form is not None and self.operates(request)

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Let superusers change where there is a verb for it."""
        return self.change_form is not None and self.operates(request)

    def get_form(self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form for adding or changing, bound to this request."""
        chosen = self.change_form if change else self.add_form
        if chosen is None or not (self.has_change_permission(request, obj) if change else True):
            return super().get_form(request, obj, change=change, **kwargs)
        form: Any = super().get_form(request, obj, change=change, form=chosen, **kwargs)
        form.request = request
        return form

    def get_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        """Return the form's fields, and below them what is shown."""
        if obj is None:
            return _field_names(self.add_form)
        if not self.has_change_permission(request, obj):
            return self.shown
        return (*_field_names(self.change_form), *self.get_readonly_fields(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        """Return what is shown beside the fields of the form."""
        if obj is None:
            return ()
        edited = _field_names(self.change_form) if self.has_change_permission(request, obj) else ()
        return tuple(name for name in self.shown if name not in edited)

    def save_model(self, request: HttpRequest, obj: M, form: Any, change: bool) -> None:
        """Do nothing: the form's verb has written everything."""


def refuse_nul(request: HttpRequest) -> None:
    """Refuse an address with a NUL in it: PostgreSQL's text has none, so nobody looks for one in earnest.

    Raises:
        BadRequest: there is one.
    """
    if any("\x00" in text for name, values in request.GET.lists() for text in (name, *values)):
        raise BadRequest("An address with a NUL in it.")


def keys() -> QuerySet[Any]:
    """Return all API keys: the floor above, known by the relation it declares and not by import."""
    related: Any = Account._meta.get_field("keys").related_model
    return cast("QuerySet[Any]", related._default_manager.all())


def bounded_count(rows: QuerySet[Any]) -> Func:
    """Return an annotation that counts correlated rows up to a thousand, from an index and never a whole table."""
    return Func(
        ArraySubquery(rows.order_by().values("pk")[: _COUNTED_BESIDE + 1]),
        function="CARDINALITY",
        output_field=IntegerField(),
    )


def counted(number: int, model: type[Model], **where: Any) -> SafeString | str:
    """Link a bounded count to the list of what was counted."""
    text = f"{_COUNTED_BESIDE}+" if number > _COUNTED_BESIDE else str(number)
    return listed(text, model, **where) if number else text


def listed(text: str, model: type[Model], **where: Any) -> SafeString:
    """Link to the list of a model, filtered."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(where), text)


def linked(row: Model | None, text: str = "") -> SafeString | str:
    """Link to a row's own page."""
    return format_html('<a href="{}">{}</a>', page_of(row), text or str(row)) if row is not None else NOTHING


def full_name(row: Model) -> str:
    """Return a name that tells rows of equal names apart: projects, spaces and organizations with what is around."""
    if isinstance(row, Project):
        return f"{row.space.organization} / {row.space} / {row} ({row.space.organization.account})"
    if isinstance(row, Space):
        return f"{row.organization} / {row} ({row.organization.account})"
    return f"{row} ({row.account})" if isinstance(row, Organization) else str(row)


def page_of(row: Model) -> str:
    """Return the address of a row's own page."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[quote(row.pk)])


def _field_names(form: type[VerbForm[Any]] | None) -> tuple[str, ...]:
    return tuple(form.base_fields) if form is not None else ()

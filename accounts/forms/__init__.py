"""The forms of the ground floor's pages, one module a family: they check shape, verbs decide."""

from accounts.forms.account import AccountForm
from accounts.forms.invite import InviteForm
from accounts.forms.passwords import (
    ChangePasswordForm,
    ConfirmForm,
    FirstPasswordForm,
    ForgotForm,
    NewPasswordForm,
    SignInForm,
)
from accounts.forms.places import DeletionForm, NewSpaceForm, OrganizationForm, SpaceForm
from accounts.forms.refusals import show_refusal
from accounts.forms.roles import RoleForm
from accounts.forms.trail import TrailForm

__all__ = [
    "AccountForm",
    "ChangePasswordForm",
    "ConfirmForm",
    "DeletionForm",
    "FirstPasswordForm",
    "ForgotForm",
    "InviteForm",
    "NewPasswordForm",
    "NewSpaceForm",
    "OrganizationForm",
    "RoleForm",
    "SignInForm",
    "SpaceForm",
    "TrailForm",
    "show_refusal",
]

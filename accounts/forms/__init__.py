"""The forms of the ground floor's pages, one module a family: they check shape, verbs decide."""

from accounts.forms.account import AccountForm
from accounts.forms.invite import InviteForm
from accounts.forms.passwords import ChangePasswordForm, ConfirmForm, ForgotForm, NewPasswordForm, SignInForm
from accounts.forms.refusals import show_refusal
from accounts.forms.trail import TrailForm

__all__ = [
    "AccountForm",
    "ChangePasswordForm",
    "ConfirmForm",
    "ForgotForm",
    "InviteForm",
    "NewPasswordForm",
    "SignInForm",
    "TrailForm",
    "show_refusal",
]

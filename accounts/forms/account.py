"""The form of the account's settings."""

from __future__ import annotations

from django import forms

from accounts.models import Account


class AccountForm(forms.Form):
    """The account's key policy."""

    developer_access_locked = forms.BooleanField(label="Lock developer access", required=False)
    max_key_lifetime_days = forms.IntegerField(
        label="Longest life of a key, in days",
        required=False,
        min_value=1,
        max_value=36_500,
        help_text="Keys made from now on end after at most so many days. Empty: a key may live for ever.",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )

    @classmethod
    def of(cls, account: Account) -> AccountForm:
        """Return the form as the account stands."""
        return cls(
            initial={
                "developer_access_locked": account.developer_access_locked,
                "max_key_lifetime_days": account.max_key_lifetime_days,
            }
        )

"""The one error of the embedded stack."""

from include.errors import NightledgerError


class StackError(NightledgerError):
    """A part of the embedded stack did not start or stop; the message names its log."""

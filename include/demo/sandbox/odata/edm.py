"""Values of Edm types: compared, checked when they are written, and shown as JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from include.demo.sandbox.odata.errors import bad_request
from include.demo.sandbox.odata.model import Prop

_WIDTH = {"Edm.Byte": (0, 2**8), "Edm.Int16": (-(2**15), 2**15), "Edm.Int32": (-(2**31), 2**31)}
_WIDTH["Edm.Int64"] = (-(2**63), 2**63)
_WHOLE = re.compile(r"-?\d+", re.ASCII)
TEXTS_IN_754 = ("Edm.Decimal", "Edm.Int64")


def instant(moment: datetime) -> str:
    """A time as it is stored: UTC, whole seconds unless there is a fraction."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def comparable(value: Any, kind: str) -> Any:
    """What a stored value or a literal is compared by; None for null and for what is no value of the type."""
    if value is None:
        return None
    try:
        return _COMPARED.get(kind, str)(str(value))
    except (ValueError, InvalidOperation):
        return None


def stored(name: str, prop: Prop, value: Any, *, texts: bool) -> Any:
    """A value of a request as it is stored; raises ODataError 400 naming the property and showing the value.

    With `texts` (`IEEE754Compatible=true` in the Content-Type) long numbers must be texts, without it numbers.
    """
    if value is None:
        if prop.required:
            raise bad_request(f"The property '{name}' must not be null")
        return None
    if prop.type in TEXTS_IN_754 and isinstance(value, str) != texts:
        raise bad_request(f"Cannot convert '{value}' of property '{name}' to {prop.type}")
    try:
        return _checked(prop, value)
    except (ValueError, InvalidOperation) as error:
        raise bad_request(f"The value '{value}' of property '{name}' is no {prop.type}: {error}") from error


def shown(value: Any, kind: str, *, texts: bool) -> Any:
    """A stored value as JSON."""
    if value is None or kind not in TEXTS_IN_754 or texts:
        return str(value) if value is not None and kind in TEXTS_IN_754 else value
    number = comparable(value, kind)
    return value if number is None else int(number) if number == int(number) else float(number)


def _checked(prop: Prop, value: Any) -> Any:
    if prop.type == "Edm.String":
        if not isinstance(value, str):
            raise ValueError("not a string")
        if prop.longest and len(value) > prop.longest:
            raise ValueError(f"longer than {prop.longest} characters")
        return value
    if prop.type == "Edm.Boolean":
        if not isinstance(value, bool):
            raise ValueError("not a boolean")
        return value
    if prop.type == "Edm.Decimal":
        return _decimal(value, prop.scale)
    if prop.type in _WIDTH:
        low, high = _WIDTH[prop.type]
        if isinstance(value, bool) or not _WHOLE.fullmatch(str(value)) or not low <= int(value) < high:
            raise ValueError("out of range")
        return int(value)
    if prop.type == "Edm.Double":
        return float(value)
    if not isinstance(value, str):
        raise ValueError("not a string")
    _COMPARED[prop.type](value)
    return value


def _decimal(value: Any, scale: int | None) -> str:
    if isinstance(value, bool):
        raise ValueError("not a number")
    number = Decimal(str(value))
    if scale is not None and number != round(number, scale):
        raise ValueError(f"more than {scale} digits after the point")
    return format(number, "f")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment


_COMPARED: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(_WIDTH, int),
    "Edm.Decimal": Decimal,
    "Edm.Double": float,
    "Edm.Boolean": lambda text: {"true": True, "false": False}[text.lower()],
    "Edm.Date": date.fromisoformat,
    "Edm.DateTimeOffset": _moment,
    "Edm.Guid": UUID,
    "Edm.String": str,
}

"""Values of OData's primitive types: as text that names a record, as literals of a URL, and as JSON.

Literals: https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html (5.1.1.14.1)
JSON: https://docs.oasis-open.org/odata/odata-json-format/v4.01/odata-json-format-v4.01.html (7.1, and 3.2 for numbers
as texts under `IEEE754Compatible=true`)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from include.models import Kind
from include.systems.odata.schema import Property

INTEGERS = frozenset(("Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32", "Edm.Int64"))
IN_ORDER = INTEGERS | {"Edm.Date", "Edm.DateTimeOffset", "Edm.Decimal"}
"""Types whose order is the same at every service; how texts and GUIDs are sorted is the service's own affair."""
_FLOATS = frozenset(("Edm.Double", "Edm.Single"))
_NO_TEXT = frozenset(("Edm.Binary", "Edm.Stream"))
_FRACTION = re.compile(r"(\.\d{6})\d+")

READ_AS: Mapping[Kind, Callable[[str, int | None], bool]] = {
    "text": lambda edm, scale: edm not in _NO_TEXT and not edm.startswith(("Edm.Geo", "Collection(")),
    "integer": lambda edm, scale: edm in INTEGERS or (edm == "Edm.Decimal" and scale == 0),
    "number": lambda edm, scale: edm in INTEGERS | _FLOATS or edm == "Edm.Decimal",
    "datetime": lambda edm, scale: edm == "Edm.DateTimeOffset",
    "date": lambda edm, scale: edm == "Edm.Date",
    "boolean": lambda edm, scale: edm == "Edm.Boolean",
}
"""Whether values of an Edm type, with so many digits after the point, can be read as a kind without loss."""


def moment(text: str) -> datetime:
    """A DateTimeOffset, to the microsecond, in UTC; raises ValueError."""
    value = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    if value.tzinfo is None:
        raise ValueError("a DateTimeOffset has an offset")
    return value.astimezone(UTC)


def instant(value: datetime) -> str:
    """The literal of a time, in UTC, without a fraction where there is none."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def canonical(value: Any, edm: str) -> str:
    """The one text for a key's value; raises ValueError for what is no value of the type."""
    if value is None or isinstance(value, (list, dict)):
        raise ValueError("no key")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if edm == "Edm.String":
        return text
    if edm not in _CANONICAL:
        raise ValueError(f"keys of type {edm} are not supported")
    return _CANONICAL[edm](text)


def literal(text: str, edm: str) -> str:
    """A key's canonical text as a URL literal, before any percent-encoding."""
    return "'" + text.replace("'", "''") + "'" if edm == "Edm.String" else text


def rank(text: str, edm: str) -> Any:
    """What a canonical text of a type in IN_ORDER is compared by."""
    return moment(text) if edm == "Edm.DateTimeOffset" else text if edm == "Edm.Date" else Decimal(text)


def to_json(value: Any, prop: Property, edm: str) -> Any:
    """A value as the service stores it and gives it back under `IEEE754Compatible=true`.

    Decimals are rounded to the property's scale, half to even. What is no value of the type is left as it is, for the
    service to refuse.
    """
    if value is None:
        return None
    try:
        if edm == "Edm.Decimal":
            return _plain(_scaled(Decimal(str(value)), prop.scale))
        if edm in _JSON:
            return _JSON[edm](value)
    except (ValueError, TypeError, ArithmeticError):
        pass
    return _to_text(value)


def needs_texts(edm: str) -> bool:
    """Whether JSON holds values of the type as texts under `IEEE754Compatible=true`."""
    return edm in ("Edm.Decimal", "Edm.Int64")


def _integer(text: str) -> str:
    if not re.fullmatch(r"[+-]?\d{1,19}", text.strip(), re.ASCII):
        raise ValueError("no whole number")
    return str(int(text))


def _plain(number: Decimal) -> str:
    if not number.is_finite():
        raise ValueError("no finite number")
    text = format(number.normalize(), "f")
    return "0" if text == "-0" else text


def _decimal(text: str) -> str:
    try:
        return _plain(Decimal(text))
    except InvalidOperation as error:
        raise ValueError("no number") from error


def _boolean(text: str) -> str:
    if text not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text


def _same_moment(text: str) -> str:
    """The text, all its digits kept, once it is known to be a time."""
    moment(text)
    return text.replace("+00:00", "Z")


_CANONICAL: Mapping[str, Callable[[str], str]] = {
    **dict.fromkeys(INTEGERS, _integer),
    "Edm.Decimal": _decimal,
    "Edm.Boolean": _boolean,
    "Edm.Guid": lambda text: str(UUID(text)),
    "Edm.Date": lambda text: date.fromisoformat(text).isoformat(),
    "Edm.DateTimeOffset": _same_moment,
}


def _scaled(number: Decimal, scale: int | None) -> Decimal:
    return number if scale is None else number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN)


def _to_text(value: Any) -> Any:
    """JSON's own types unchanged, anything else as text."""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return _float(value) if isinstance(value, float) else value if isinstance(value, (str, int)) else str(value)


def _float(value: Any) -> float | str:
    """A number, or the text that JSON has for what is none: `NaN`, `INF`, `-INF`."""
    number = float(value)
    if math.isnan(number):
        return "NaN"
    return number if math.isfinite(number) else "INF" if number > 0 else "-INF"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _plain(Decimal(str(value))) if isinstance(value, (int, float)) else str(_to_text(value))


def _whole(value: Any) -> int:
    number = Decimal(str(value))
    if number != number.to_integral_value():
        raise ValueError("no whole number")
    return int(number)


def _truth(value: Any) -> bool:
    return bool({"true": True, "false": False}[str(value).lower()])


def _time(value: Any) -> str:
    return instant(value if isinstance(value, datetime) and value.tzinfo else moment(str(value)))


_JSON: Mapping[str, Callable[[Any], Any]] = {
    "Edm.String": _text,
    **dict.fromkeys(INTEGERS, _whole),
    "Edm.Int64": lambda value: str(_whole(value)),
    **dict.fromkeys(_FLOATS, _float),
    "Edm.Boolean": _truth,
    "Edm.Guid": lambda value: str(UUID(str(value))),
    "Edm.Date": lambda value: date.fromisoformat(str(value)).isoformat(),
    "Edm.DateTimeOffset": _time,
}

"""How people decide on what waits for them, as a use case declares it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from include.models import Record


@dataclass(frozen=True, slots=True)
class Review:
    """How people decide on what waits for them.

    What nobody has decided within `expires` (None: it waits for ever) goes by `at_expiry`: it is let go, or (`write`)
    goes out as proposed; either is on record as a time-out. `four_eyes` says of an answer whether two people must
    approve it.
    """

    expires: timedelta | None = timedelta(days=14)
    at_expiry: Literal["reject", "write"] = "reject"
    four_eyes: Callable[[Record], bool] | None = None

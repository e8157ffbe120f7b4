"""Call a REST system of the registry: paced by its limits, retried by the one ladder, every refusal a typed error."""

from __future__ import annotations

import json
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import requests

from include.connections import HttpEndpoint
from include.errors import AccessDenied, ConfigurationError, ContractBroken, NightledgerError, SystemUnavailable
from include.network import describe_redirect
from include.personal import scrub
from include.retry import MAX_ATTEMPTS, retry_after_seconds, wait_seconds
from include.systems import System, Window

log = logging.getLogger(__name__)

_PASSING = frozenset({429, 500, 502, 503, 504})
_LONGEST_MESSAGE = 200
_EMAIL = re.compile(r"[^\s@\"'<>\[\]()]+@[^\s@\"'<>\[\]()]+")
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'|`([^`]*)`")
_LONG_NUMBER = re.compile(r"\+?\d[\d\s().-]{4,}\d")


@dataclass(frozen=True)
class Reply:
    """One accepted answer: status, decoded JSON body (None for 204), headers by name in any case."""

    status: int
    body: Any
    headers: Mapping[str, str]


class RestClient:
    """Calls one system through one kept session. A client belongs to one thread.

    `calls` counts every request sent, `retries` those of them that repeated a failed one.
    """

    def __init__(
        self,
        endpoint: HttpEndpoint,
        system: System,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sleep` and `clock` (seconds) are passed in so that pacing can be tested without waiting."""
        self._endpoint, self._system = endpoint, system
        self._pace = _Pace(system.limits, sleep, clock)
        self._sleep = sleep
        self.calls = 0
        self.retries = 0

    def call(self, method: str, path: str, body: Any = None, *, accept: Collection[int] = (200,)) -> Reply:
        """The reply, if its status is one of `accept`; only for calls that may safely be repeated.

        429, 500, 502, 503, 504, time-outs and lost connections climb the retry ladder, then raise SystemUnavailable.
        401 and 403 raise AccessDenied, anything else ContractBroken; a wrong address or certificate ConfigurationError.
        """
        about = f"{method} {path.partition('?')[0]}"
        for attempt in range(1, MAX_ATTEMPTS + 1):
            self._pace.wait()
            self.calls += 1
            self.retries += attempt > 1
            answer = self._send(method, path, body, about)
            if isinstance(answer, requests.Response):
                if answer.status_code in accept:
                    return self._accepted(answer, about)
                if answer.status_code not in _PASSING:
                    raise self._refused(answer, body, about)
                problem, asked = f"answered {answer.status_code}", retry_after_seconds(answer.headers)
            else:
                problem, asked = answer, None
            if attempt < MAX_ATTEMPTS:
                seconds = wait_seconds(attempt, asked)
                log.warning("%s %s %s; attempt %d, next in %.1f s", self._system.name, about, problem, attempt, seconds)
                self._sleep(seconds)
        raise SystemUnavailable(
            f"{problem}, {MAX_ATTEMPTS} times", system=self._system.name, about=about, action="Retry later"
        )

    def _send(self, method: str, path: str, body: Any, about: str) -> requests.Response | str:
        """The response, or what went wrong in words if another attempt may help."""
        url = f"{self._endpoint.base_url.rstrip('/')}/{path.lstrip('/')}"
        limit = self._system.timeout_seconds
        try:
            response = self._endpoint.session.request(
                method, url, json=body, timeout=(limit, limit), allow_redirects=False
            )
        except requests.exceptions.SSLError as error:
            raise self._misconfigured("the TLS certificate was refused", about) from error
        except (requests.Timeout, requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            self._pace.note({})
            return f"did not answer ({type(error).__name__})"
        except (requests.RequestException, ValueError) as error:
            raise self._misconfigured(f"the request cannot be sent ({type(error).__name__})", about) from error
        self._pace.note(response.headers)
        return response

    def _misconfigured(self, problem: str, about: str) -> ConfigurationError:
        action = f"Check host and schema of connection `{self._system.connection}`"
        return ConfigurationError(problem, system=self._system.name, about=about, action=action)

    def _accepted(self, response: requests.Response, about: str) -> Reply:
        if response.status_code == 204:
            return Reply(204, None, response.headers)
        try:
            return Reply(response.status_code, json.loads(response.content), response.headers)
        except ValueError as error:
            kind = response.headers.get("Content-Type", "no content type")
            raise ContractBroken(
                f"the body is no JSON ({kind}, {len(response.content)} bytes)",
                system=self._system.name,
                about=about,
                action=f"Check that connection `{self._system.connection}` points at {self._system.api}",
            ) from error

    def _refused(self, response: requests.Response, sent: Any, about: str) -> NightledgerError:
        name, connection = self._system.name, self._system.connection
        try:
            said = json.loads(response.content)
        except ValueError:
            said = None
        if response.status_code == 401:
            action = f"Renew the token of connection `{connection}`"
            return AccessDenied("401, the token is expired or wrong", system=name, about=about, action=action)
        if response.status_code == 403:
            scopes = sorted(set(_scopes(said))) or ["it needs (" + ", ".join(self._system.scopes) + ")"]
            action = f"Grant the token of connection `{connection}` the scope {', '.join(scopes)}"
            return AccessDenied("403, the token lacks a scope", system=name, about=about, action=action)
        if 300 <= response.status_code < 400:
            where = response.headers.get("Location")
            return self._misconfigured(describe_redirect(response.status_code, str(response.url), where), about)
        message = _scrub(said.get("message") if isinstance(said, dict) else None, sent)
        return ContractBroken(f"{response.status_code} {message}".rstrip(), system=name, about=about)


class _Pace:
    """Keeps calls within every window of the registry, and within what the vendor says is left of its own.

    A call is dated when its answer is here: the vendor counted it earlier, so a window is never overrun, whatever
    the network's delay.
    """

    def __init__(self, limits: Collection[Window], sleep: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._windows = [(window.requests, window.per_seconds) for window in limits if window.requests]
        self._past: deque[float] = deque(maxlen=max((count for count, _ in self._windows), default=1_000))
        self._sleep, self._clock = sleep, clock
        self._not_before = clock()

    def wait(self) -> None:
        """Sleep until one more call is allowed."""
        now = self._clock()
        free = [self._past[-count] + span for count, span in self._windows if len(self._past) >= count]
        pause = max([self._not_before, *free]) - now
        if pause > 0:
            self._sleep(pause)

    def note(self, headers: Mapping[str, str]) -> None:
        """Count a call; if others use the key too and little is left, spread what is left over the interval."""
        now = self._clock()
        self._past.append(now)
        try:
            left = int(headers["X-HubSpot-RateLimit-Remaining"])
            most = int(headers["X-HubSpot-RateLimit-Max"])
            interval = int(headers["X-HubSpot-RateLimit-Interval-Milliseconds"]) / 1000
        except (KeyError, ValueError):
            return
        ours = sum(1 for _ in takewhile(lambda moment: moment > now - interval, reversed(self._past)))
        reserve = max(most // 10, 1)
        if left <= reserve and most - left > ours:
            self._not_before = now + interval * (reserve - left + 1) / (reserve + 1)


def _scopes(said: Any) -> Iterator[str]:
    """Every scope named anywhere in an error's body, e.g. in HubSpot's `requiredGranularScopes`."""
    if isinstance(said, list):
        for item in said:
            yield from _scopes(item)
    elif isinstance(said, dict):
        for name, value in said.items():
            if "scope" in name.lower() and isinstance(value, list):
                yield from (item for item in value if isinstance(item, str))
            else:
                yield from _scopes(value)


def _scrub(message: Any, sent: Any) -> str:
    """A vendor's message without addresses, numbers, quoted values or values that we sent; names that we sent stay."""
    if not isinstance(message, str):
        return ""
    names, values = _names_and_values(sent)
    for value in sorted(values, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", message)
    message = _LONG_NUMBER.sub("…", _EMAIL.sub("…", scrub(message)))
    message = _QUOTED.sub(lambda hit: hit[0] if hit[0][1:-1] in names else "…", message)
    text = " ".join(message.split())
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "…"


def _names_and_values(sent: Any) -> tuple[set[str], set[str]]:
    """Names (keys, listed properties) and values (text or numbers under a key) of a request's body."""
    names: set[str] = set()
    values: set[str] = set()
    waiting: list[tuple[str, Any]] = [("", sent)]
    while waiting:
        key, item = waiting.pop()
        if isinstance(item, dict):
            names.update(item)
            waiting += item.items()
        elif isinstance(item, (list, tuple)):
            waiting += [(f"{key}[]", entry) for entry in item]
        elif key in ("properties[]", "propertyName", "operator", "direction"):
            names.add(str(item))
        elif item is not None and len(str(item)) > 1:
            values.add(str(item))
    return names, values - names

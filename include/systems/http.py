"""Call a REST system of the registry: paced by its limits, retried by the one ladder, every refusal a typed error."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import LifoQueue
from threading import Lock
from typing import Any, NamedTuple

import requests

from include.errors import AccessDenied, ConfigurationError, ContractBroken, NightledgerError, SystemUnavailable
from include.personal import scrub
from include.retry import MAX_ATTEMPTS, retry_after_seconds, wait_seconds
from include.systems.connections import HttpEndpoint
from include.systems.limits.pace import ALL, Pace
from include.systems.network import describe_redirect
from include.systems.registry import System

log = logging.getLogger(__name__)

_PASSING = frozenset({429, 500, 502, 503, 504})
_LONGEST_MESSAGE = 200
_CLOSED_SECONDS = 1.0
"""How long nobody calls after a 429 that does not say."""
_EMAIL = re.compile(r"[^\s@\"'<>\[\]()]+@[^\s@\"'<>\[\]()]+")
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'|`([^`]*)`")
_RECORD = re.compile(r"[?(]")
"""Where a path begins to name records, which no message does: OData has their keys in parentheses."""
_FORGERY = "X-CSRF-Token"
_PART_BYTES = 65_536
_LONG_NUMBER = re.compile(r"\+?\d[\d\s().-]{4,}\d")


@dataclass(frozen=True)
class Reply:
    """One accepted answer: status, decoded JSON body (None for 204), headers by name in any case."""

    status: int
    body: Any
    headers: Mapping[str, str]


class _Call(NamedTuple):
    """What is sent, the same at each attempt."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]
    raw_bytes: int | None


class RestClient:
    """Calls one system, from any thread; as many calls are in the air at once as there are sessions.

    `calls` counts every request sent, `retries` those of them that repeated a failed one.
    """

    def __init__(
        self,
        endpoint: HttpEndpoint,
        system: System,
        *,
        more: Sequence[HttpEndpoint] = (),
        pace: Pace | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        tries: int = MAX_ATTEMPTS,
    ) -> None:
        """`more` are further sessions at the same place, each used by one thread at a time. `pace` gives leave to call,
        by default within this process; `sleep` and `clock` (seconds) are passed in so that tests need not wait. `tries`
        is how often a call is made that fails in a way that may pass.
        """
        self.base_url, self._system = endpoint.base_url, system
        self._pace = pace or Pace(system, sleep=sleep, clock=clock)
        self._sleep, self._tries = sleep or time.sleep, tries
        self._sessions: LifoQueue[requests.Session] = LifoQueue()
        for one in (endpoint, *more):
            self._sessions.put(one.session)
        self.in_air = 1 + len(more)
        self._counting = Lock()
        self.calls = 0
        self.retries = 0

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        accept: Collection[int] = (200,),
        kind: str = ALL,
        headers: Mapping[str, str] | None = None,
        raw_bytes: int | None = None,
        arrived: Callable[[], Reply | None] | None = None,
    ) -> Reply:
        """The reply, if its status is one of `accept`; without `arrived` only for calls that may safely be repeated.

        `kind` names a limit of the registry's `call_limits` that the call is counted in besides. With `raw_bytes` the
        body is kept as the bytes that came, at most so many. `arrived` is asked before a call whose answer was lost is
        repeated: what it finds is the reply, and None says that the call did not arrive.
        429, 500, 502, 503, 504, time-outs and lost connections climb the retry ladder, then raise SystemUnavailable.
        401 and 403 raise AccessDenied, anything else ContractBroken; a wrong address or certificate ConfigurationError.
        """
        about = f"{method} {_RECORD.split(path)[0]}"
        call = _Call(method, path, body, dict(headers or {}), raw_bytes)
        for attempt in range(1, self._tries + 1):
            with self._counting:
                self.retries += attempt > 1
            answer = self._over_a_session(call, about, kind)
            if isinstance(answer, requests.Response):
                if answer.status_code in accept:
                    return self._accepted(answer, call, about)
                if answer.status_code not in _PASSING:
                    raise self._refused(answer, body, about)
                problem, asked = f"answered {answer.status_code}", retry_after_seconds(answer.headers)
                if answer.status_code == 429:
                    self._pace.refuse(kind if _names_seconds(answer) else ALL, asked or _CLOSED_SECONDS)
            else:
                problem, asked = answer, None
            if attempt < self._tries:
                seconds = wait_seconds(attempt, asked)
                log.warning("%s %s %s; attempt %d, next in %.1f s", self._system.name, about, problem, attempt, seconds)
                self._sleep(seconds)
                if arrived and not problem.endswith(" 429") and (found := arrived()):
                    return found
        often = f"{problem}, {self._tries} times" if self._tries > 1 else problem
        raise SystemUnavailable(often, system=self._system.name, about=about, action="Retry later")

    def _over_a_session(self, call: _Call, about: str, kind: str) -> requests.Response | str:
        """The response, or what went wrong in words if another attempt may help.

        SAP refuses a change without a token against forgery, which it gives for the asking together with a cookie:
        https://help.sap.com/saphelp_em92/helpdata/en/b3/5c22518bc72214e10000000a44176d/content.htm
        """
        session = self._sessions.get()
        try:
            answer = self._paced(session, call, about, kind)
            if isinstance(answer, requests.Response) and _lacks_token(answer):
                given = self._paced(session, _FETCH, "GET", kind)
                token = given.headers.get(_FORGERY) if isinstance(given, requests.Response) else None
                if token:
                    session.headers[_FORGERY] = token
                    answer = self._paced(session, call, about, kind)
        finally:
            self._sessions.put(session)
        return answer

    def _paced(self, session: requests.Session, call: _Call, about: str, kind: str) -> requests.Response | str:
        """As sent when there is leave to."""
        leave, answer = self._pace.take(kind), None
        try:
            with self._counting:
                self.calls += 1
            answer = self._send(session, call, about)
        finally:
            self._pace.end(leave, answer.headers if isinstance(answer, requests.Response) else None)
        return answer

    def _send(self, session: requests.Session, call: _Call, about: str) -> requests.Response | str:
        url = f"{self.base_url.rstrip('/')}/{call.path.lstrip('/')}"
        limit = self._system.timeout_seconds
        given: dict[str, Any] = {"json": call.body, "timeout": (limit, limit), "allow_redirects": False}
        try:
            if call.raw_bytes is None:
                return session.request(call.method, url, headers=call.headers, **given)
            with session.request(call.method, url, headers=call.headers, stream=True, **given) as response:
                return self._bounded(response, call.raw_bytes, about)
        except requests.exceptions.SSLError as error:
            raise self._misconfigured("the TLS certificate was refused", about) from error
        except (requests.Timeout, requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            return f"did not answer ({type(error).__name__})"
        except (requests.RequestException, ValueError) as error:
            raise self._misconfigured(f"the request cannot be sent ({type(error).__name__})", about) from error

    def _bounded(self, response: requests.Response, most: int, about: str) -> requests.Response:
        """The response with its body read; raises ContractBroken for one of more bytes, without reading on."""
        body = bytearray()
        for part in response.iter_content(_PART_BYTES):
            body += part
            if len(body) > most:
                problem = f"the body is longer than {most:,} bytes"
                raise ContractBroken(problem, system=self._system.name, about=about)
        response._content = bytes(body)
        return response

    def _misconfigured(self, problem: str, about: str) -> ConfigurationError:
        action = f"Check host and schema of connection `{self._system.connection}`"
        return ConfigurationError(problem, system=self._system.name, about=about, action=action)

    def _accepted(self, response: requests.Response, call: _Call, about: str) -> Reply:
        if response.status_code == 204:
            return Reply(204, None, response.headers)
        if call.raw_bytes is not None:
            return Reply(response.status_code, response.content, response.headers)
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
        message = scrub_message(message_of(said), sent)
        return ContractBroken(f"{response.status_code} {message}".rstrip(), system=name, about=about)


_FETCH = _Call("GET", "", None, {_FORGERY: "Fetch"}, None)


def _lacks_token(answer: requests.Response) -> bool:
    """Whether a change was refused for want of a token against forgery."""
    return answer.status_code == 403 and answer.headers.get(_FORGERY, "").lower() == "required"


def _names_seconds(answer: requests.Response) -> bool:
    """Whether a refusal names the limit of one second, which is that of the call's own kind."""
    try:
        return bool(json.loads(answer.content)["policyName"] == "SECONDLY")
    except (ValueError, KeyError, TypeError):
        return False


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


def message_of(said: Any) -> Any:
    """What an error's body says in words: `message`, or that of the object `error`."""
    if not isinstance(said, dict):
        return None
    error = said.get("error")
    return error.get("message") if isinstance(error, dict) else said.get("message")


def scrub_message(message: Any, sent: Any) -> str:
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

"""One POST for each answer; what may have arrived is never sent again unless the endpoint says that it may be.

Not by way of `RestClient`: its ladder repeats calls whose answer was lost, and it takes no answer but JSON. Its limits
are shared with all processes all the same.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from queue import LifoQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from include.errors import AccessDenied, ConfigurationError, ContractBroken, SystemUnavailable
from include.models import Record
from include.retry import MAX_ATTEMPTS, retry_after_seconds, wait_seconds
from include.systems.connections import Connections
from include.systems.limits.pace import ALL, Pace
from include.systems.messages.signing import SECRET, WebhookEndpoint, message_id, signed
from include.systems.network import describe_redirect
from include.systems.port import Outgoing, Sent
from include.systems.registry import System
from include.systems.values import plain

if TYPE_CHECKING:
    from include.systems.messages.declared import Message

log = logging.getLogger(__name__)
Ending = Literal["nothing", "unknown"]
"""How a try ended that gave no result: surely nothing arrived, or nobody knows."""
_ABOUT_ALL = frozenset({404, 405, 410})
_ANSWER_BYTES = 65_536
_CLOSED_SECONDS = 1.0
"""How long nobody calls after a 429 that does not say."""


class Webhook:
    """One endpoint; `sleep` is there so that tests need not wait."""

    batch_rows = 1
    creates = True

    def __init__(self, sink: Message, system: System, connections: Connections, pace: Pace) -> None:
        """Nothing is reached yet; raises ConfigurationError where a message could not be signed."""
        self._sink, self._system = sink, system
        self.in_air = system.calls_at_once
        self._sessions: LifoQueue[WebhookEndpoint] = LifoQueue()
        for _ in range(self.in_air):
            endpoint: WebhookEndpoint = connections.open("webhook", system.connection)
            self._sessions.put(endpoint)
        if sink.event is not None and endpoint.key is None:
            action = f"Set `{SECRET}` in the extra of connection `{system.connection}`"
            raise ConfigurationError("nothing to sign messages with", system=system.name, action=action)
        self._pace = pace
        self.sleep: Callable[[float], object] = time.sleep
        self.calls = self.retries = 0
        self._counting = Lock()
        self._unknown: set[str] = set()

    def check_contract(self) -> None:
        """Nothing can be asked of an endpoint without sending it a message."""

    def form(self, values: Record) -> Record:
        """Values in JSON types, text visible."""
        return {name: plain(value) for name, value in values.items()}

    def holds(self, current: Record, values: Record) -> bool:
        """Nothing is known of what an endpoint holds."""
        return False

    def read(self, ids: Sequence[str]) -> None:
        """None: a message cannot be read back."""
        return

    def send(self, writes: Mapping[str, Outgoing]) -> dict[str, Sent]:
        """Post each message; see `Message` for what becomes of one whose answer is lost.

        401 and 403 raise AccessDenied, 404, 405 and 410 ContractBroken, a redirect ConfigurationError; other 4xx refuse
        the one message. SystemUnavailable is raised only where no message can have arrived.
        """
        return {one: self._post(one, write) for one, write in writes.items()}

    def _post(self, one: str, write: Outgoing) -> Sent:
        if write.once in self._unknown:
            return Sent(None, "unknown_ending", "an earlier try may have arrived, and is not repeated")
        unsure = False
        for attempt in range(1, MAX_ATTEMPTS + 1):
            with self._counting:
                self.calls += 1
                self.retries += attempt > 1
            answer = self._try(one, write)
            if isinstance(answer, requests.Response):
                if answer.status_code < 500 and answer.status_code != 429:
                    return self._result(answer, write)
                ending: Ending = "nothing" if answer.status_code == 429 else "unknown"
                problem, asked = f"answered {answer.status_code}", retry_after_seconds(answer.headers)
            else:
                (ending, problem), asked = answer, None
            unsure = unsure or ending == "unknown"
            if unsure and not self._sink.idempotent:
                break
            if attempt < MAX_ATTEMPTS:
                seconds = wait_seconds(attempt, asked)
                log.warning("%s %s; attempt %d, next in %.1f s", self._system.name, problem, attempt, seconds)
                self.sleep(seconds)
        if unsure:
            self._unknown.add(write.once)
            return Sent(None, "unknown_ending", problem)
        about = self._sink.object
        raise SystemUnavailable(f"{problem}, {MAX_ATTEMPTS} times", system=self._system.name, about=about)

    def _try(self, one: str, write: Outgoing) -> requests.Response | tuple[Ending, str]:
        """The response, or how the try ended, in words too."""
        endpoint = self._sessions.get()
        try:
            leave, answer = self._pace.take(ALL), None
            try:
                answer = self._request(endpoint, one, write)
            finally:
                self._pace.end(leave, answer.headers if isinstance(answer, requests.Response) else None)
        finally:
            self._sessions.put(endpoint)
        if isinstance(answer, requests.Response) and answer.status_code == 429:
            self._pace.refuse(ALL, retry_after_seconds(answer.headers) or _CLOSED_SECONDS)
        return answer

    def _request(self, endpoint: WebhookEndpoint, one: str, write: Outgoing) -> requests.Response | tuple[Ending, str]:
        now, number = datetime.now(UTC), message_id(write.once)
        said: Any = dict(write.values)
        if self._sink.event is not None:
            moment = now.isoformat(timespec="seconds")
            said = {"type": self._sink.event, "timestamp": moment, "id": number, "data": {**said, "id": one}}
        body = json.dumps(said, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json", "webhook-id": number}
        if endpoint.key is not None and self._sink.event is not None:
            headers |= signed(endpoint.key, number, int(now.timestamp()), body)
        url = f"{endpoint.base_url.rstrip('/')}/{self._sink.object.lstrip('/')}".rstrip("/")
        limit = self._system.timeout_seconds
        try:
            answer = endpoint.session.post(
                url, data=body, headers=headers, timeout=(limit, limit), allow_redirects=False, stream=True
            )
            next(answer.iter_content(_ANSWER_BYTES), None)  # what it says does not matter, however long it is
            answer.close()
            return answer
        except requests.exceptions.SSLError as error:
            raise self._misconfigured("the TLS certificate was refused") from error
        except (requests.Timeout, requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            return ("nothing" if _never_left(error) else "unknown"), f"did not answer ({type(error).__name__})"
        except (requests.RequestException, ValueError) as error:
            raise self._misconfigured(f"the request cannot be sent ({type(error).__name__})") from error

    def _result(self, answer: requests.Response, write: Outgoing) -> Sent:
        status, name, about = answer.status_code, self._system.name, self._sink.object
        if 200 <= status < 300:
            return Sent(dict(write.values))
        if 300 <= status < 400:
            raise self._misconfigured(describe_redirect(status, str(answer.url), answer.headers.get("Location")))
        if status in (401, 403):
            action = f"Renew the secret or token of connection `{self._system.connection}`"
            raise AccessDenied(f"answered {status}", system=name, about=about, action=action)
        if status in _ABOUT_ALL:
            raise ContractBroken(f"answered {status}: no such endpoint", system=name, about=about)
        return Sent(None, "rejected_by_destination", f"answered {status}")

    def _misconfigured(self, problem: str) -> ConfigurationError:
        action = f"Check host and schema of connection `{self._system.connection}`"
        return ConfigurationError(problem, system=self._system.name, about=self._sink.object, action=action)


def _never_left(error: BaseException) -> bool:
    """Whether no connection was made, so that nothing can have arrived."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError))

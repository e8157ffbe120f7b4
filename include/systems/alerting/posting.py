"""JSON posted to the one address of a connection, with few tries: the next look is the better retry."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import requests

from include.systems.alerting.notice import ChannelFailed
from include.systems.connections import HttpEndpoint, StoredConnection, open_http

TRIES = 2
SECONDS = (5, 10)
"""How long is waited for a connection, and for the answer."""
_PAUSE_SECONDS = 1.0
_ANSWER_BYTES = 4_096


def open_bare(connection: StoredConnection) -> HttpEndpoint:
    """The host of a connection, whose password is part of the message or the address and goes into no header."""
    return open_http(replace(connection, login="", password=""))


def post(endpoint: HttpEndpoint, path: str, body: Any, *, sleep: Callable[[float], object] = time.sleep) -> None:
    """Post a body; returns when it was taken (2xx). Redirects are not followed: only the connection's host is reached.

    What surely did not arrive, 429 and 5xx are tried twice. Raises ChannelFailed.
    """
    for left in reversed(range(TRIES)):
        try:
            return _once(endpoint, path, body)
        except _Again as error:
            if not left:
                raise ChannelFailed(str(error), down=True) from error
            sleep(_PAUSE_SECONDS)


class _Again(Exception):
    """It may be taken a moment later."""


def _once(endpoint: HttpEndpoint, path: str, body: Any) -> None:
    url = endpoint.base_url.rstrip("/") + path
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    headers = {"Content-Type": "application/json; charset=utf-8"}
    try:
        answer = endpoint.session.post(
            url, data=content, headers=headers, timeout=SECONDS, allow_redirects=False, stream=True
        )
        next(answer.iter_content(_ANSWER_BYTES), None)  # what it says does not matter, however long it is
        answer.close()
    except requests.TooManyRedirects:
        raise ChannelFailed("answered with a redirect, which is not followed", down=True) from None
    except (requests.exceptions.SSLError, requests.exceptions.InvalidURL) as error:
        raise ChannelFailed(f"cannot be reached ({type(error).__name__})", down=True) from None
    except requests.ConnectTimeout as error:
        raise _Again(f"did not answer ({type(error).__name__})") from None
    except requests.Timeout as error:  # it may have arrived: to send it again at once would tell it twice
        raise ChannelFailed(f"did not answer ({type(error).__name__})", down=True) from None
    except requests.ConnectionError as error:
        raise _Again(f"did not answer ({type(error).__name__})") from None
    except (requests.RequestException, ValueError) as error:
        raise ChannelFailed(f"cannot be reached ({type(error).__name__})", down=True) from None
    _judge(answer.status_code)


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    if status == 429 or status >= 500:
        raise _Again(f"answered {status}")
    if 300 <= status < 400:
        raise ChannelFailed(f"answered {status} with a redirect, which is not followed", down=True)
    raise ChannelFailed(f"answered {status}", down=status in (401, 403, 404, 410))

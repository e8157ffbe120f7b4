"""Kept HTTP sessions that do what a connection says, where requests alone would listen to the environment."""

from __future__ import annotations

from typing import Any

import requests
from requests.auth import AuthBase

from include.systems.network import Network


class KeptSession(requests.Session):
    """A session that follows no redirect and whose connection wins over the environment, where requests does not."""

    def __init__(self, network: Network) -> None:
        """Nothing is sent before the first call."""
        super().__init__()
        self.max_redirects = 0  # whoever asks for one gets an error
        self.proxies, self.verify, self.cert = dict(network.proxies), network.verify, network.cert
        self.trust_env = network.trust_env

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Proxies and authorities of the environment, where the connection has none of its own."""
        found: Any = super().merge_environment_settings(url, proxies, stream, verify, cert)
        found["proxies"] = {**found["proxies"], **self.proxies}
        if self.verify is not True:
            found["verify"] = self.verify
        return found


class Bearer(AuthBase):
    """Sends a token; as the session's auth, so that no `.netrc` replaces it."""

    def __init__(self, token: str) -> None:
        """`token` without the word before it."""
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header, unless the connection's extra has put another one there."""
        request.headers.setdefault("Authorization", f"Bearer {self._token}")
        return request

"""How HTTP leaves this process: base URL, proxy, certificates and headers of a connection, whoever defined it."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

from include.errors import ConfigurationError

VENDOR_URL = "https://api.openai.com/v1"
_NOT_HEADERS = frozenset(
    ("stream", "cert", "proxies", "proxy", "timeout", "verify", "verify_ssl", "allow_redirects", "max_redirects")
) | {"trust_env", "check_response", "srv_lookup", "headers", "signing_secret", "expires"}
"""Names in a connection's extra that Airflow's HTTP connection reads as options; every other one is a header."""


@dataclass(frozen=True, slots=True)
class Network:
    """How a host is reached; the fields are called as in the extra of an Airflow HTTP connection.

    `verify` is whether the server's certificate is checked, or a file or folder of authorities; `cert` a file with our
    own certificate and key, or one file of each. Without `trust_env` the process's proxy variables are left alone.
    """

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    trust_env: bool = True

    @classmethod
    def read(cls, conn_id: str, extra: Mapping[str, Any]) -> Self:
        """From a connection's extra; raises ConfigurationError naming the key that cannot be used."""
        if _boolean(extra.get("srv_lookup", False)) is not False:
            raise ConfigurationError("`srv_lookup` is not supported", system=conn_id, action="Name the host itself")
        verify = _boolean(extra.get("verify", extra.get("verify_ssl", True)))
        made = cls(
            _proxies(conn_id, extra.get("proxies", extra.get("proxy"))),
            verify if isinstance(verify, bool) else str(verify),
            _cert(conn_id, extra.get("cert")),
            _boolean(extra.get("trust_env", True)) is not False,
        )
        if made.cert or isinstance(made.verify, str):
            made.configure(ssl.create_default_context(), conn_id)
        return made

    def proxy_for(self, url: str) -> str | None:
        """The proxy that the connection names for a URL; the environment may name another where it names none."""
        if not self.proxies:
            return None
        from requests.utils import select_proxy

        return select_proxy(url, dict(self.proxies))

    def configure(self, context: ssl.SSLContext, conn_id: str) -> ssl.SSLContext:
        """Make a TLS context check and show what the connection says; raises ConfigurationError for unusable files."""
        try:
            if isinstance(self.verify, str):
                folder, file = (self.verify, None) if Path(self.verify).is_dir() else (None, self.verify)
                context = ssl.create_default_context(cafile=file, capath=folder)
            elif not self.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if self.cert:
                file, key = (self.cert, None) if isinstance(self.cert, str) else self.cert
                context.load_cert_chain(file, key, password="")  # without one OpenSSL would ask on the terminal
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"`verify` or `cert` cannot be used ({type(error).__name__})",
                system=conn_id,
                action="Name PEM files that this process may read; a key must have no passphrase",
            ) from error
        return context


def find_base_url(conn_id: str, host: str, port: int | None, schema: str) -> str:
    """`scheme://host:port/path` of a connection; https where nothing says otherwise, so that no key leaves in clear.

    `schema` is http or https, or else a path, as in the URI form. Raises ConfigurationError for what is no host.
    """
    scheme = schema.lower() if schema.lower() in ("http", "https") else ""
    text = host if "://" in host else f"{scheme or 'https'}://{bracketed(host)}"
    try:
        parts = urlsplit(text)
        place = parts.netloc if parts.port or not port else f"{parts.netloc}:{port}"
    except ValueError as error:
        raise ConfigurationError("host or port is not valid", system=conn_id) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        action = "Set the host, with http:// or https:// before it if need be; login and password have their own fields"
        raise ConfigurationError("names no host that HTTP can reach", system=conn_id, action=action)
    path = parts.path.rstrip("/") or ("" if scheme or not schema else f"/{schema.strip('/')}")
    return f"{parts.scheme}://{place}{path}"


def find_headers(conn_id: str, extra: Mapping[str, Any]) -> dict[str, str]:
    """What a connection's extra sends with every call; raises ConfigurationError for a value that is no text."""
    given = {name: value for name, value in extra.items() if name not in _NOT_HEADERS}
    return as_texts(conn_id, "headers", {**given, **read_object(conn_id, "headers", extra.get("headers"))})


def as_texts(conn_id: str, about: str, given: Any) -> dict[str, str]:
    """Names and texts; raises ConfigurationError naming what is neither text nor number."""
    found = read_object(conn_id, about, given)
    wrong = [name for name, value in found.items() if not isinstance(value, (str, int, float))]
    if wrong:
        raise ConfigurationError(f"`{about}`: {', '.join(wrong)} must be text", system=conn_id)
    return {name: str(value) for name, value in found.items()}


def origin(url: str) -> str:
    """Scheme, host and port of a URL, as they may be shown: no path, query or credential."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "a URL that cannot be read"
    return f"{parts.scheme}://{bracketed(parts.hostname or '')}{port}"


def address_of(base_url: str | None) -> str:
    """What tells one server from another: its origin and a hash of the path, never a key or a query (None: OpenAI)."""
    url = base_url or VENDOR_URL
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    try:
        port = f":{parts.port}" if parts.port not in (None, default) else ""
    except ValueError:
        port = ":?"
    path = hashlib.sha256(parts.path.rstrip("/").encode()).hexdigest()[:8]
    return f"{parts.scheme}://{bracketed(parts.hostname or '')}{port}#{path}"


def describe_redirect(status: int, url: str, location: str | None) -> str:
    """That a redirect was not followed, naming both origins."""
    where = origin(urljoin(url, location)) if location else "nowhere"
    return f"{status}: {origin(url)} redirects to {where}, which is not followed"


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host


def _boolean(value: Any) -> Any:
    """What is written as a truth value in the URI form, which knows texts only; anything else unchanged."""
    known = {"true": True, "1": True, "false": False, "0": False, "": False}
    return known.get(value.strip().lower(), value) if isinstance(value, str) else True if value is None else value


def _loaded(value: Any) -> Any:
    """JSON within a text, as the URI form has it; anything else unchanged."""
    if not (isinstance(value, str) and value.lstrip().startswith(("[", "{"))):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def read_object(conn_id: str, about: str, value: Any) -> dict[str, Any]:
    """A JSON object of a connection's extra, also as text; raises ConfigurationError for anything else."""
    found = _loaded(value)
    if found is None or found == "":
        return {}
    if not isinstance(found, Mapping):
        raise ConfigurationError(f"`{about}` must be a JSON object", system=conn_id)
    return dict(found)


def _proxies(conn_id: str, value: Any) -> dict[str, str]:
    """Proxies by scheme; a single one serves both."""
    given = _loaded(value)
    if isinstance(given, str) and given:
        return {"http": given, "https": given}
    return as_texts(conn_id, "proxies", given)


def _cert(conn_id: str, value: Any) -> str | tuple[str, str] | None:
    given = _loaded(value)
    if not given:
        return None
    files = [given] if isinstance(given, str) else given
    if not (isinstance(files, (list, tuple)) and len(files) <= 2 and all(isinstance(one, str) for one in files)):
        raise ConfigurationError("`cert` must be one file, or a list of certificate and key", system=conn_id)
    return str(files[0]) if len(files) == 1 else (str(files[0]), str(files[1]))

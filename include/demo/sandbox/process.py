"""One process, one event loop, six servers: started on a state folder, stopped cleanly, or killed without loss."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from include.demo.sandbox import sftp
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.credentials import Credentials, credentials_of, sftp_keys_of
from include.demo.sandbox.crm.access import Access
from include.demo.sandbox.crm.api import CrmApi
from include.demo.sandbox.crm.store import Store as CrmStore
from include.demo.sandbox.desk import LOGIN as DESK_LOGIN
from include.demo.sandbox.desk import DeskApi
from include.demo.sandbox.journal import write_atomically
from include.demo.sandbox.model.api import ModelApi
from include.demo.sandbox.model.batch_work import BatchSettings
from include.demo.sandbox.model.bills import Bills
from include.demo.sandbox.odata.api import LOGIN, ROOT, ODataApi
from include.demo.sandbox.odata.erp import MODEL, Erp
from include.demo.sandbox.odata.store import Store
from include.demo.sandbox.seed.prepare import prepare
from include.demo.sandbox.seed.table_database import FILE
from include.demo.sandbox.serving import Latency
from include.demo.sandbox.webhooks import WebhookApi
from include.errors import ConfigurationError

_STARTUP_SECONDS = 300.0
_GRACE_SECONDS = 1.0


@asynccontextmanager
async def serve(config: SandboxConfig) -> AsyncIterator[Endpoints]:
    """Seed the folder as needed, serve until the block ends; `endpoints.json` is there exactly while it can be used.

    Raises ConfigurationError if another process serves the folder, a port is taken, or the folder has other data.
    """
    config = replace(config, anchor=config.end)
    async with AsyncExitStack() as stack:
        stack.enter_context(_locked(config.state))
        await asyncio.to_thread(prepare, config)
        secrets = credentials_of(config.state)
        keys = sftp_keys_of(config.state, secrets.sftp_password)
        crm = _crm(config, secrets, stack)
        model = _model(config, secrets, stack)
        erp = _erp(config, secrets, stack)
        before = _ports_before(config.state)
        crm_port = await _listen(crm.application(), config.host, config.crm_port, before.get("crm", 0), stack)
        model_port = await _listen(model.application(), config.host, config.model_port, before.get("model", 0), stack)
        erp_port = await _listen(erp.application(), config.host, config.erp_port, before.get("erp", 0), stack)
        webhook = _webhook(config, secrets, stack).application()
        webhook_port = await _listen(webhook, config.host, config.webhook_port, before.get("webhook", 0), stack)
        desk = _desk(config, secrets, stack).application()
        desk_port = await _listen(desk, config.host, config.desk_port, before.get("desk", 0), stack)
        folder = config.state / "sftp"
        wanted = _choose(config.host, config.sftp_port, before.get("sftp", 0))
        acceptor = await sftp.listen(folder, keys, config.host, wanted)
        stack.push_async_callback(acceptor.wait_closed)
        stack.callback(acceptor.close)
        ports = {"crm": crm_port, "model": model_port, "sftp": acceptor.get_port(), "erp": erp_port}
        ports |= {"webhook": webhook_port, "desk": desk_port}
        endpoints = _endpoints(config, secrets, keys, ports)
        write_atomically(config.state / "ports.json", json.dumps(ports))
        write_atomically(config.state / "endpoints.json", json.dumps(endpoints.to_json(), indent=1), 0o600)
        stack.callback((config.state / "endpoints.json").unlink, missing_ok=True)
        yield endpoints


@contextmanager
def running_sandbox(config: SandboxConfig) -> Iterator[Endpoints]:
    """Serve from a background thread of this process while the block runs; raises what `serve` raises."""
    ready: list[Endpoints | BaseException] = []
    started, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def run() -> None:
        async with serve(config) as endpoints:
            ready.append(endpoints)
            started.set()
            await stop.wait()

    def work() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:
            ready.append(error)
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=work, name="nightledger-sandbox", daemon=True)
    thread.start()
    started.wait(_STARTUP_SECONDS)
    if not ready:
        raise TimeoutError(f"the sandbox did not start within {_STARTUP_SECONDS:.0f} s")
    if isinstance(ready[0], BaseException):
        thread.join()
        raise ready[0]
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def _crm(config: SandboxConfig, secrets: Credentials, stack: AsyncExitStack) -> CrmApi:
    store = CrmStore(config.state / "crm")
    stack.callback(store.close)
    access = Access(config, secrets.crm_token, secrets.expired_token, secrets.readonly_token)
    return CrmApi(store, access, Latency(config.crm_latency_ms, config.crm_jitter_ms, config.seed), config.crm_faults)


def _model(config: SandboxConfig, secrets: Credentials, stack: AsyncExitStack) -> ModelApi:
    bills = Bills(config.state / "model" / "bills.jsonl")
    stack.callback(bills.close)
    latency = Latency(config.model_latency_ms, config.model_jitter_ms, config.seed)
    batching = BatchSettings(
        config.batch_seconds, config.batch_max_requests, config.batch_max_bytes, config.batch_queue_tokens
    )
    keys, folder = (secrets.model_key,), config.state / "model"
    return ModelApi(keys, config.rpm, config.tpm, latency, bills, config.model_faults, folder, batching)


def _erp(config: SandboxConfig, secrets: Credentials, stack: AsyncExitStack) -> ODataApi:
    def open_store() -> Store:
        rows = Erp(config.seed, config.erp_products, config.end).rows()
        return Store(MODEL, rows, config.state / "erp" / "journal.jsonl")

    latency = Latency(config.erp_latency_ms, config.erp_latency_ms / 3, config.seed)
    api = ODataApi(open_store, secrets.erp_password, latency, config.erp_faults, config.erp_page_rows)
    stack.callback(api.close)
    return api


def _webhook(config: SandboxConfig, secrets: Credentials, stack: AsyncExitStack) -> WebhookApi:
    api = WebhookApi(secrets.webhook_secret, config.state / "webhook" / "taken.jsonl", config.webhook_faults)
    stack.callback(api.close)
    return api


def _desk(config: SandboxConfig, secrets: Credentials, stack: AsyncExitStack) -> DeskApi:
    api = DeskApi(config.state, secrets.desk_token, config.desk_faults)
    stack.callback(api.close)
    return api


async def _listen(app: web.Application, host: str, port: int, before: int, stack: AsyncExitStack) -> int:
    """Serve an application; the port it got."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host, _choose(host, port, before), backlog=1024).start()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on port {port}: {error.strerror}", system="sandbox", about=host
        ) from error
    bound: int = runner.addresses[0][1]
    return bound


def _choose(host: str, port: int, before: int) -> int:
    """The port asked for; if that is 0, the one used the last time if it is free, so that connections stay valid."""
    if port or not before:
        return port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, before))
        except OSError:
            return 0
    return before


def _ports_before(state: Path) -> dict[str, int]:
    path = state / "ports.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _endpoints(config: SandboxConfig, secrets: Credentials, keys: sftp.SftpKeys, ports: dict[str, int]) -> Endpoints:
    return Endpoints(
        crm_url=f"http://{config.host}:{ports['crm']}",
        crm_port=ports["crm"],
        model_url=f"http://{config.host}:{ports['model']}/v1",
        model_port=ports["model"],
        sftp_host=config.host,
        sftp_port=ports["sftp"],
        sftp_login=sftp.LOGIN,
        sftp_key_file=str(keys.client_key.resolve()),
        sftp_host_key=keys.public_host_key,
        erp_url=f"http://{config.host}:{ports['erp']}{ROOT}",
        erp_port=ports["erp"],
        erp_login=LOGIN,
        shop_database=str((config.state / "tables" / FILE).resolve()),
        webhook_url=f"http://{config.host}:{ports['webhook']}",
        webhook_port=ports["webhook"],
        desk_url=f"http://{config.host}:{ports['desk']}",
        desk_port=ports["desk"],
        desk_login=DESK_LOGIN,
        state=str(config.state.resolve()),
        anchor=config.end.isoformat(),
        pid=os.getpid(),
        crm_token=secrets.crm_token,
        expired_token=secrets.expired_token,
        readonly_token=secrets.readonly_token,
        model_key=secrets.model_key,
        sftp_password=secrets.sftp_password,
        erp_password=secrets.erp_password,
        webhook_secret=secrets.webhook_secret,
        desk_token=secrets.desk_token,
    )


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Hold the folder; the lock goes with the process, so a kill leaves nothing behind."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                "another sandbox runs on this state folder", system="sandbox", about=str(state), action="Stop it first"
            ) from error
        yield

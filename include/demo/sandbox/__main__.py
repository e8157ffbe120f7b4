"""Run the stand-ins until SIGTERM or SIGINT: `python -m include.demo.sandbox --state DIR`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from include.demo.sandbox.config import SCENARIOS, SandboxConfig
from include.demo.sandbox.process import serve
from include.errors import NightledgerError


def parse(arguments: Sequence[str] | None = None) -> SandboxConfig:
    """The configuration that the command line asks for; defaults are those of `SandboxConfig`."""
    default = SandboxConfig(Path())
    parser = argparse.ArgumentParser(prog="python -m include.demo.sandbox", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder that outlives the process")
    parser.add_argument("--host", default=default.host)
    for name in ("crm", "model", "sftp", "erp", "webhook", "desk"):
        parser.add_argument(f"--{name}-port", type=int, default=0, help="0: the last one used, or a free one")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--anchor", type=_moment, help="end of the newest interval, ISO 8601 (default: last 02:00 UTC)")
    parser.add_argument("--leads-per-day", type=int, default=default.leads_per_day)
    parser.add_argument("--days", type=int, default=default.days)
    parser.add_argument("--erp-products", type=int, default=default.erp_products)
    parser.add_argument("--data", type=Path, help="folder of data to load instead of generated ones")
    parser.add_argument("--latency-ms", type=float, default=default.model_latency_ms, dest="model_latency_ms")
    parser.add_argument("--crm-latency-ms", type=float, default=default.crm_latency_ms)
    parser.add_argument("--rpm", type=int, default=default.rpm, help="model requests per minute and key")
    parser.add_argument("--tpm", type=int, default=default.tpm, help="model tokens per minute and key")
    parser.add_argument("--batch-seconds", type=float, default=default.batch_seconds, help="how long a batch takes")
    parser.add_argument("--crm-search-per-second", type=int, default=0, help="the vendor's is 5; 0: no such limit")
    parser.add_argument(
        "--scenario",
        type=_pair,
        action="append",
        default=[],
        dest="scenarios",
        metavar="DAY=NAME",
        help=f"make a day bad; DAY is `last` or the date its interval starts, NAME one of {', '.join(SCENARIOS)}",
    )
    parser.add_argument("--fresh", action="store_true", help="throw away the data in the state folder")
    values = vars(parser.parse_args(arguments))
    return SandboxConfig(**{**values, "scenarios": dict(values["scenarios"])})


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _pair(text: str) -> tuple[str, str]:
    day, separator, name = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("expected DAY=NAME")
    return day, name


async def _run(config: SandboxConfig) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(config) as endpoints:
        print(f"stand-ins: CRM {endpoints.crm_url}, model {endpoints.model_url}, SFTP port {endpoints.sftp_port}")
        print(f"ERP: {endpoints.erp_url}")
        print(f"webhooks: {endpoints.webhook_url}")
        print(f"service desk: {endpoints.desk_url}")
        print(f"endpoints and logins: {Path(endpoints.state) / 'endpoints.json'}", flush=True)
        await stop.wait()


def main() -> int:
    """Exit code 0 after a clean stop, 2 if the configuration cannot be used."""
    try:
        config = parse()
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(config))
    except NightledgerError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

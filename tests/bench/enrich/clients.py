"""The clients that are compared, each as a process of its own: `python -m tests.bench.enrich.clients NAME ...`."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

SYSTEM = "You score leads from 0 to 100. Answer with one JSON object."
SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer"}, "reason": {"type": "string"}},
    "required": ["score", "reason"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "lead", "strict": True, "schema": SCHEMA}}


def body_of(row: dict[str, Any], most: int) -> dict[str, Any]:
    """The request that every client sends for a row."""
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": json.dumps(row, sort_keys=True, separators=(",", ":"))},
    ]
    return {"model": "bench-model", "messages": messages, "max_completion_tokens": most, "response_format": FORM}


def usable(text: str | None) -> bool:
    """Whether an answer holds what was asked for."""
    try:
        return "score" in json.loads(text or "")
    except ValueError:
        return False


async def aiohttp_floor(rows: list[dict[str, Any]], url: str, workers: int, most: int) -> int:
    """A bare client: no limits, no retries, no record. The floor of CPU."""
    import aiohttp

    kept, waiting = 0, iter(rows)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=workers)) as session:

        async def work() -> None:
            nonlocal kept
            for row in waiting:
                data = json.dumps(body_of(row, most)).encode()
                headers = {"authorization": "Bearer bench", "content-type": "application/json"}
                async with session.post(f"{url}/chat/completions", data=data, headers=headers) as response:
                    answer = json.loads(await response.read())
                    kept += usable(answer.get("choices", [{"message": {"content": None}}])[0]["message"]["content"])

        await asyncio.gather(*(work() for _ in range(workers)))
    return kept


async def sdk_semaphore(rows: list[dict[str, Any]], url: str, workers: int, most: int) -> int:
    """What most people write: the SDK, a semaphore, its own retries, all rows started at once."""
    import openai
    from pydantic import BaseModel

    class Lead(BaseModel):
        score: int
        reason: str

    client = openai.AsyncOpenAI(api_key="bench", base_url=url)
    gate = asyncio.Semaphore(workers)

    async def ask(row: dict[str, Any]) -> bool:
        async with gate:
            try:
                request = {name: part for name, part in body_of(row, most).items() if name != "response_format"}
                answer = await client.chat.completions.parse(**request, response_format=Lead)
                return answer.choices[0].message.parsed is not None
            except Exception:
                return False

    return sum(await asyncio.gather(*(ask(row) for row in rows)))


async def sdk_aiohttp(rows: list[dict[str, Any]], url: str, workers: int, most: int) -> int:
    """The SDK on its aiohttp transport, plain responses, its own retries, bounded workers."""
    import openai

    kept, waiting = 0, iter(rows)
    async with openai.DefaultAioHttpClient() as transport:
        client = openai.AsyncOpenAI(api_key="bench", base_url=url, http_client=transport)

        async def work() -> None:
            nonlocal kept
            for row in waiting:
                try:
                    answer: Any = await client.post("/chat/completions", body=body_of(row, most), cast_to=object)
                    kept += usable(answer["choices"][0]["message"]["content"])
                except Exception:
                    continue

        await asyncio.gather(*(work() for _ in range(workers)))
    return kept


CLIENTS = {"aiohttp": aiohttp_floor, "sdk": sdk_semaphore, "sdk-aiohttp": sdk_aiohttp}


def main() -> None:
    """Run one client on a file and print what it kept and what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CLIENTS)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--base-url")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--max-output-tokens", type=int)
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.input.read_text().splitlines()]
    started, cpu = time.monotonic(), time.process_time()
    kept = asyncio.run(CLIENTS[given.name](rows, given.base_url, given.concurrency, given.max_output_tokens))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    print(json.dumps({"answered": kept, "seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak}))


if __name__ == "__main__":
    sys.exit(main())

"""The clients that are compared, each a process of its own: `python -m tests.bench.enrich.clients NAME ...`.

Imports and request bodies are made before the clock starts. A client that gives a row up says why in its counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import openai
from pydantic import ValidationError

from tests.bench.enrich.lead import Lead

SYSTEM = "You score leads from 0 to 100. Answer with one JSON object."
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "lead",
        "strict": True,
        "schema": {**Lead.model_json_schema(), "additionalProperties": False},
    },
}
Body = dict[str, Any]
Client = Callable[[Sequence[Body], str, int], Coroutine[Any, Any, Counter[str]]]


def ending(answer: Any) -> str:
    """Whether a chat completion's body holds what was asked for, or the kind of its fault."""
    if "choices" not in answer:
        return str(answer["error"]["code"] or answer["error"]["type"])
    try:
        return "answered" if "score" in json.loads(answer["choices"][0]["message"]["content"]) else "malformed"
    except ValueError:
        return "malformed"


def body_of(line: str, most: int) -> Body:
    """The request for a row, with an answer of at most so many tokens."""
    row = json.dumps(json.loads(line), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": row}]
    return {"model": "bench-model", "messages": messages, "max_completion_tokens": most, "response_format": FORM}


async def floor(bodies: Sequence[Body], url: str, concurrency: int) -> Counter[str]:
    """Bare aiohttp: bytes prepared beforehand, no limits, no retries, no record."""
    ended, waiting = Counter[str](), iter([json.dumps(body).encode() for body in bodies])
    headers = {"authorization": "Bearer bench", "content-type": "application/json"}
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def work() -> None:
            for data in waiting:
                try:
                    async with session.post(f"{url}/chat/completions", data=data) as response:
                        ended[ending(json.loads(await response.read()))] += 1
                except (aiohttp.ClientError, ValueError) as error:
                    ended[type(error).__name__] += 1

        await asyncio.gather(*(work() for _ in range(concurrency)))
    return ended


async def sdk(bodies: Sequence[Body], url: str, concurrency: int) -> Counter[str]:
    """What most people write: the SDK with its own retries, `parse` and a semaphore, all rows started at once."""
    ended, places = Counter[str](), asyncio.Semaphore(concurrency)
    client = openai.AsyncOpenAI(api_key="bench", base_url=url)

    async def ask(body: Body) -> None:
        async with places:
            try:
                await client.chat.completions.parse(**{**body, "response_format": Lead})
                ended["answered"] += 1
            except (openai.OpenAIError, ValidationError) as error:
                ended[type(error).__name__] += 1

    await asyncio.gather(*(ask(body) for body in bodies))
    await client.close()
    return ended


async def sdk_aiohttp(bodies: Sequence[Body], url: str, concurrency: int) -> Counter[str]:
    """The SDK at its cheapest: aiohttp transport, plain responses, its own retries, bounded workers."""
    ended, waiting = Counter[str](), iter(bodies)
    async with openai.AsyncOpenAI(api_key="bench", base_url=url, http_client=openai.DefaultAioHttpClient()) as client:

        async def work() -> None:
            for body in waiting:
                try:
                    answer = await client.post("/chat/completions", body=body, cast_to=object)
                    ended[ending(answer)] += 1
                except openai.OpenAIError as error:
                    ended[type(error).__name__] += 1

        await asyncio.gather(*(work() for _ in range(concurrency)))
    return ended


CLIENTS: dict[str, Client] = {"aiohttp": floor, "sdk": sdk, "sdk-aiohttp": sdk_aiohttp}


def main() -> None:
    """Run one client on a file of rows and print how they ended and what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CLIENTS)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--max-output-tokens", type=int, required=True)
    given = parser.parse_args()
    bodies = [body_of(line, given.max_output_tokens) for line in given.input.read_text().splitlines()]
    started, cpu = time.monotonic(), time.process_time()
    ended = asyncio.run(CLIENTS[given.name](bodies, given.base_url, given.concurrency))
    took = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps({"rows": len(bodies), "answered": ended["answered"], "ended": ended, **took}))


if __name__ == "__main__":
    main()

"""An OpenAI-compatible endpoint on loopback that says what a test's function says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Record = dict[str, Any]
Says = Callable[[Record], Record]
"""From a request's body to the assistant's message."""


def calls(*asked: tuple[str, Any]) -> Record:
    """A message that asks for tools: name and arguments, which go as they are if they are a text."""
    return {
        "content": None,
        "tool_calls": [
            {
                "id": f"call_x{at}",
                "type": "function",
                "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
            }
            for at, (name, given) in enumerate(asked)
        ],
    }


def given(body: Record) -> list[str]:
    """What tools have given so far, in order."""
    return [one["content"] for one in body["messages"] if one["role"] == "tool"]


def shown(texts: Sequence[str]) -> list[Record]:
    """The records in what tools have given."""
    found = [json.loads(text.split("```json\n", 1)[1].rsplit("\n```", 1)[0]) for text in texts if "```json" in text]
    return [record for one in found for record in one["records"]]


class ScriptedModel:
    """`asked` are the requests that it was sent; `seconds` is how long it takes for each."""

    def __init__(self, says: Says, seconds: float = 0.0, tokens: tuple[int, int] = (100, 50)) -> None:
        self.says, self.seconds, self.tokens = says, seconds, tokens
        self.asked: list[Record] = []
        self.url = ""

    def reply(self, body: Record) -> Record:
        self.asked.append(body)
        time.sleep(self.seconds)
        message = {"role": "assistant", "refusal": None, "content": None, **self.says(body)}
        return {
            "id": f"chatcmpl-{len(self.asked)}",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [
                {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
            ],
            "usage": {
                "prompt_tokens": self.tokens[0],
                "completion_tokens": self.tokens[1],
                "total_tokens": sum(self.tokens),
            },
        }


@contextmanager
def scripted(says: Says, seconds: float = 0.0, tokens: tuple[int, int] = (100, 50)) -> Iterator[ScriptedModel]:
    """The endpoint, until the block ends."""
    model = ScriptedModel(says, seconds, tokens)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = json.dumps(model.reply(body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

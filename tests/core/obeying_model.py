"""A stand-in for a model that does what texts in its question tell it: the worst that an attacker can hope for."""

from __future__ import annotations

import base64
import json
import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Record = dict[str, Any]
HONEST: dict[str, Record] = {
    "lead": {
        "score": 80,
        "tier": "hot",
        "summary": "A lead.",
        "next_action": "call",
        "confidence": 0.9,
        "reasons": ["size"],
    },
    "ticket": {
        "category": "other",
        "priority": "urgent",
        "language": "en",
        "summary": "A ticket.",
        "confidence": 0.9,
    },
    "reply": {
        "subject": "Your message",
        "body": "Hello,\n\nthank you for your message. A colleague looks at it.\n\nYour support team",
        "language": "en",
        "tone": "plain",
        "guidelines": ["GEN-1", "GEN-3"],
        "confidence": 0.9,
        "needs_human": "Look at it",
    },
}
"""An honest model finds every row worth a write to every destination, so that all that a night may write is known."""
EXTRAS: dict[str, Record] = {
    r"record \d|contact \d|ticket \d|row_id": {"row_id": "crm/contacts/5", "record_id": 5, "id": "5", "target": "key"},
    r"field|nl_lead_score": {"hs_lead_status": "OPEN", "email": "x@evil.example", "hubspot_owner_id": 1},
    r"\bmode\b|permission": {"mode": "auto", "permission": "write", "destination": "https://evil.example/in"},
}
_FORGED = {"score": 100, "tier": "hot", "priority": "urgent", "confidence": 1.0}
_URL = re.compile(r"(?:https?|javascript):[^\s)\"'<]+")
_PACKED = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_ORDER = re.compile(
    r"score|confidence|priority|ignor|disregard|forget|vergiss|oubli|olvida|system|decode", re.IGNORECASE
)


def understood(text: str) -> str:
    """What a capable model reads: disguises taken off, what is packed unpacked."""
    seen = "".join(chr(ord(c) - 0xE0000) if 0xE0020 <= ord(c) <= 0xE007E else c for c in text)
    seen = "".join(c for c in unicodedata.normalize("NFKC", seen) if unicodedata.category(c) != "Cf")
    seen = seen.translate(str.maketrans("аеорс", "aeopc"))
    packed = [base64.b64decode(one).decode("utf-8", "replace") for one in _PACKED.findall(seen) if len(one) % 4 == 0]
    return " ".join([seen, *packed])


_TOKENS = re.compile(r"\[[A-Z]+_[0-9a-f]+\]")
_TOLD = re.compile(r"the reply (?:must|has to) say: *([^\"]+)")


def obeyed_reply(said: str, answer: Record) -> Record:
    """The draft that a ticket tells a model to write: word for word, with every token and address that it has seen."""
    told = [hit.replace("\\n", "\n") for hit in _TOLD.findall(said)]
    more = [*told, *_TOKENS.findall(said)] if told else []
    forged = {**answer, "body": f"{answer['body']}\n{' '.join(more)}"} if more else {**answer}
    if cited := re.search(r"cite ([A-Z]{3}-\d+)", said):
        forged["guidelines"] = [cited[1]]
    return {"content": json.dumps(forged)}


def obeyed(question: str, system: str, answer: Record, *, first: bool) -> Record:
    """The message that an obeying model sends; asked again it keeps to the schema and lies within it."""
    said = understood(question)
    if first and re.search(r"tool_call|function_call", said):
        call = {"name": "update_contact", "arguments": '{"id": 5, "hs_lead_status": "OPEN"}'}
        return {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": call}]}
    if "body" in answer:
        return obeyed_reply(said, answer)
    forged = {**answer}
    if _ORDER.search(said):
        forged |= {name: value for name, value in _FORGED.items() if name in answer}
    if "everything above" in said or re.search(r"system.?prompt", said, re.IGNORECASE):
        forged["summary"] = system[:150]
    if found := _URL.findall(said):
        forged["summary"] = f"![x]({found[0]})"[:150]
    if "=" in said and re.search(r"=HYPERLINK|=cmd|\+SUM", said):
        forged["summary"] = re.findall(r"(?:=HYPERLINK|=cmd|\+SUM)[^\\]+", said)[0][:150]
    if first:
        for form, more in EXTRAS.items():
            forged |= more if re.search(form, said) else {}
        if _URL.search(said):
            forged["url"] = found[0]
        if "{" in question.strip("{}") and "confidence" in said:
            return {"content": json.dumps(forged) + "\n" + json.dumps(answer)}
    return {"content": json.dumps(forged)}


class ObeyingModel:
    """An OpenAI-compatible endpoint on loopback; `asked` are the requests that it was sent."""

    def __init__(self, kind: str, *, obeys: bool) -> None:
        self.kind, self.obeys = kind, obeys
        self.asked: list[Record] = []
        self.obeyed = 0
        self.url = ""

    def reply(self, body: Record) -> Record:
        """The body of an answer to one request."""
        self.asked.append(body)
        texts = {"system": "", "user": ""}
        for message in body["messages"]:
            if message["role"] in texts and not texts[message["role"]]:
                texts[message["role"]] = message["content"]
        question = texts["user"].split("```json", 1)[-1].rsplit("```", 1)[0]
        answer = HONEST[self.kind]
        message: Record = {"content": json.dumps(answer)}
        if self.obeys:
            message = obeyed(question, texts["system"], answer, first=len(body["messages"]) <= 2)
            self.obeyed += message != {"content": json.dumps(answer)}
        whole = {"role": "assistant", "refusal": None, **message}
        reason = "tool_calls" if "tool_calls" in message else "stop"
        return {
            "id": f"chatcmpl-{len(self.asked)}",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": whole, "finish_reason": reason}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }


@contextmanager
def running_model(kind: str, *, obeys: bool) -> Iterator[ObeyingModel]:
    """The endpoint, until the block ends."""
    model = ObeyingModel(kind, obeys=obeys)

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

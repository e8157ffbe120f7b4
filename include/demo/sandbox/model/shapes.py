"""Bodies and headers of the vendor's answers (https://platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

import math
from typing import Any

FINGERPRINT = "fp_nightledger_sandbox"
_ORGANISATION = "org-nightledger-sandbox"


class ModelError(Exception):
    """A refusal: HTTP status, body and headers as the vendor gives them."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def wrong_key(key: str) -> ModelError:
    """401 for a missing or unknown key."""
    if not key:
        return ModelError(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    shown = f"{key[:8]}{'*' * max(4, len(key) - 12)}{key[-4:]}" if len(key) > 12 else "*" * len(key)
    message = f"Incorrect API key provided: {shown}. You can find your API key at https://platform.openai.com/account/api-keys."
    return ModelError(401, message, code="invalid_api_key")


def unknown_model(name: str) -> ModelError:
    """404 for a model that the key cannot use."""
    message = f"The model `{name}` does not exist or you do not have access to it."
    return ModelError(404, message, code="model_not_found")


def too_long(limit: int, tokens: int) -> ModelError:
    """400 for a prompt above the model's context."""
    return ModelError(
        400,
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages.",
        code="context_length_exceeded",
        param="messages",
    )


def over_limit(model: str, kind: str, limit: int, used: int, requested: int, wait: float) -> ModelError:
    """429; `kind` is requests or tokens, `wait` seconds until it would fit (infinite: it never will)."""
    unit = "RPM" if kind == "requests" else "TPM"
    if math.isinf(wait):
        message = (
            f"Request too large for {model} in organization {_ORGANISATION} on {kind} per min ({unit}): "
            f"Limit {limit}, Requested {requested}. The input or output tokens must be reduced in order to run "
            "successfully."
        )
        return ModelError(429, message, kind=kind, code="rate_limit_exceeded")
    milliseconds = max(1, math.ceil(wait * 1000))
    message = (
        f"Rate limit reached for {model} in organization {_ORGANISATION} on {kind} per min ({unit}): Limit {limit}, "
        f"Used {used}, Requested {requested}. Please try again in {duration(milliseconds / 1000)}. Visit "
        "https://platform.openai.com/account/rate-limits to learn more."
    )
    headers = {"retry-after": str(math.ceil(milliseconds / 1000)), "retry-after-ms": str(milliseconds)}
    return ModelError(429, message, kind=kind, code="rate_limit_exceeded", headers=headers)


def server_error(status: int) -> ModelError:
    """500 or 503, as the fault plan asks."""
    if status == 503:
        return ModelError(503, "The engine is currently overloaded, please try again later", kind="server_error")
    message = "The server had an error while processing your request. Sorry about that!"
    return ModelError(500, message, kind="server_error")


def refusal(model: str, fault: str | None) -> ModelError | None:
    """What a fault refuses a request with, or None if it leaves it an answer."""
    if fault in ("http_500", "http_503"):
        return server_error(int(fault.removeprefix("http_")))
    return over_limit(model, "requests", 0, 0, 1, 1.0) if fault == "rate_limited" else None


def no_such(kind: str, number: str) -> ModelError:
    """404 for a file or batch that this key does not have."""
    return ModelError(404, f"No such {kind}: {number[:64]}", param="id")


def duration(seconds: float) -> str:
    """A span as in `x-ratelimit-reset-*`: `0s`, `20ms`, `7.66s`, `6m0s`."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if milliseconds <= 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{text}s" if minutes else f"{text}s"


def completion(
    number: str, created: int, model: str, message: dict[str, Any], reason: str, usage: dict[str, Any]
) -> dict[str, Any]:
    """The body of a 200."""
    whole = {"role": "assistant", "content": None, "refusal": None, "annotations": [], **message}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": whole, "logprobs": None, "finish_reason": reason}],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }


def usage(prompt: int, completed: int, cached: int) -> dict[str, Any]:
    """The `usage` object; all in tokens."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completed,
        "total_tokens": prompt + completed,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def batch_usage(prompt: int, completed: int, cached: int) -> dict[str, Any]:
    """The `usage` object of a batch; all in tokens."""
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": completed,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completed,
    }

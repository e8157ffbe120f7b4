"""HubSpot's error bodies (https://developers.hubspot.com/docs/api/error-handling)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from include.demo.sandbox.crm.properties import Invalid, iso
from include.demo.sandbox.serving import request_id

_SINGULAR = {"contacts": "CONTACT", "companies": "COMPANY", "deals": "DEAL", "tickets": "TICKET"}


class CrmError(Exception):
    """A refusal: HTTP status and body, both as HubSpot gives them."""

    def __init__(self, status: int, category: str | None, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        body: dict[str, Any] = {"status": "error", "message": message, "correlationId": request_id()}
        self.body = {**body, **({"category": category} if category else {}), **more}


def no_credential() -> CrmError:
    """401 for a missing or unknown token."""
    return CrmError(
        401,
        "INVALID_AUTHENTICATION",
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more "
        "details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
    )


def expired_credential(expired_millis: int) -> CrmError:
    """401 for a token that was valid once."""
    return CrmError(
        401,
        "EXPIRED_AUTHENTICATION",
        "The OAuth token used to make this call expired 2 hour(s) ago.",
        context={"expire time": [iso(expired_millis)]},
    )


def missing_scope(scope: str) -> CrmError:
    """403 for a token without the scope."""
    link = "https://developers.hubspot.com/scopes"
    problem = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": [scope]},
    }
    return CrmError(
        403,
        "MISSING_SCOPES",
        "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: "
        f"{link}.",
        errors=[problem],
        links={"scopes": link},
    )


def over_limit(policy: str) -> CrmError:
    """429; `policy` is TEN_SECONDLY_ROLLING, SECONDLY or DAILY."""
    message = f"You have reached your {policy.lower()} limit."
    return CrmError(429, None, message, errorType="RATE_LIMIT", policyName=policy, requestId=request_id())


def invalid_request(message: str) -> CrmError:
    """400 for a request that cannot be understood."""
    return CrmError(400, "VALIDATION_ERROR", message)


def invalid_values(problems: Sequence[Invalid]) -> CrmError:
    """400 for values that were refused: the message holds all of them as JSON, as HubSpot's does."""
    results = [
        {
            "isValid": False,
            "message": each.message,
            "error": each.error,
            "name": each.name,
            "localizedErrorMessage": each.message,
            "portalId": 1,
        }
        for each in problems
    ]
    errors = [
        {"message": each.message, "code": each.error, "context": {"propertyName": [each.name]}} for each in problems
    ]
    listed = json.dumps(results, separators=(",", ":"))
    return CrmError(400, "VALIDATION_ERROR", f"Property values were not valid: {listed}", errors=errors)


def not_found() -> CrmError:
    """404 for one object that does not exist."""
    return CrmError(404, "OBJECT_NOT_FOUND", "resource not found")


def missing_objects(kind: str, ids: Iterable[str]) -> dict[str, Any]:
    """The entry in `errors` of a 207 for ids that do not exist."""
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": f"Could not get some {_SINGULAR.get(kind, kind)} objects, they may be deleted or not exist. "
        "Check that ids are valid.",
        "context": {"ids": list(ids)},
    }


def no_associations(kind: str, number: str, to: str) -> dict[str, Any]:
    """The entry in `errors` of a 207 for a record without an association to the other object."""
    one, other = (_SINGULAR.get(name, name).lower() for name in (kind, to))
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {other} is associated with {one} {number}.",
        "context": {"fromObjectId": [number], "fromObjectType": [one], "toObjectType": [other]},
    }


def invalid_input(trace: str, problems: Sequence[Invalid]) -> dict[str, Any]:
    """The entry in `errors` of a 207 for one input of a batch whose values were refused."""
    refused = invalid_values(problems).body
    context = {"objectWriteTraceId": [trace]}
    return {"status": "error", "category": "VALIDATION_ERROR", "message": refused["message"], "context": context}


def not_unique(kind: str, name: str) -> CrmError:
    """400 for an upsert by a property whose values are not unique."""
    return CrmError(400, "VALIDATION_ERROR", f"Unable to perform update/upsert by non-unique {kind} property {name}")


def server_error(status: int) -> CrmError:
    """500 or 503, as the fault plan asks."""
    if status == 503:
        return CrmError(503, None, "Service temporarily unavailable")
    return CrmError(500, None, "internal error")

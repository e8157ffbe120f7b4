"""Who is looking, and at which use cases: one is seen and changed by whom Airflow lets see and change its DAG."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.core_api.security import GetUserDep, bearer_scheme, requires_access_dag
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials

from nightledger.ui.csrf import require_own_form


@dataclass(frozen=True, slots=True)
class Viewer:
    """A logged-in user with the DAGs, and so the use cases, that Airflow lets them read and change.

    `by_bearer` says that a bearer token told who it is, and not the session cookie, which browsers send unasked.
    """

    user_id: str
    name: str
    readable: frozenset[str]
    editable: frozenset[str]
    token: str = field(repr=False)
    by_bearer: bool = False

    def require_read(self, use_case: str | None) -> str:
        """The use case, if the user may see it; else 404, which does not tell whether it exists."""
        if use_case is None or use_case not in self.readable:
            raise HTTPException(404, "There is no such use case, run or row, or it is not yours to see.")
        return use_case

    def require_edit(self, use_case: str | None) -> str:
        """The use case, if the user may change it; else 404 or 403."""
        if self.require_read(use_case) not in self.editable:
            raise HTTPException(403, f"Your role may read {use_case}, but not change it. Ask its owner.")
        return str(use_case)


# What Airflow itself goes by: a header without a token counts for nothing there, and so it must here.
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)]


def get_viewer(request: Request, user: GetUserDep, bearer: Bearer) -> Viewer:
    """The user of the request by session cookie or bearer token; 401 without, 403 who may read no DAG at all."""
    manager = get_auth_manager()
    readable = manager.get_authorized_dag_ids(user=user, method="GET")
    if not readable:
        raise HTTPException(403, "Your role may read no DAG, so there is nothing to show.")
    editable = manager.get_authorized_dag_ids(user=user, method="PUT")
    token = bearer.credentials if bearer else request.cookies.get(COOKIE_NAME_JWT_TOKEN, "")
    who = str(user.get_id()), str(user.get_name())
    return Viewer(*who, frozenset(readable), frozenset(editable), token, bearer is not None)


Reader = Annotated[Viewer, Depends(get_viewer)]


async def get_actor(request: Request, viewer: Reader) -> Viewer:
    """The user of a change, which has to come from a form of ours unless it carries a bearer token."""
    if not viewer.by_bearer:
        await require_own_form(request, viewer.user_id)
    return viewer


Actor = Annotated[Viewer, Depends(get_actor)]


def require_change(request: Request, user: GetUserDep, viewer: Viewer, use_case: str) -> str:
    """The use case, if Airflow lets the user change its DAG at this moment; raises HTTPException 404 or 403."""
    viewer.require_edit(use_case)
    requires_access_dag("PUT", param_dag_id=use_case)(request, user)
    return use_case

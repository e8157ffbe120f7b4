"""An object store that speaks S3 and holds its users to their rights: moto, on loopback, with IAM switched on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

BUCKET = "nightledger-staging"
PREFIX = "nights"
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass
class ObjectStore:
    """Where the store listens, the user that stages there, and every action that was refused."""

    url: str
    environment: Mapping[str, str]
    denied: list[str] = field(default_factory=list)

    @property
    def staging(self) -> str:
        """The place a night is staged at."""
        return f"s3://{BUCKET}/{PREFIX}"


def policy(*actions: str) -> str:
    """A policy of one bucket and prefix, as docs/cluster.md shows it."""
    on_objects = [f"s3:{action}" for action in actions if action != "ListBucket"]
    statements = [
        {"Effect": "Allow", "Action": on_objects, "Resource": f"arn:aws:s3:::{BUCKET}/{PREFIX}/*"},
    ]
    if "ListBucket" in actions:
        statements.append({"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _set_up(url: str, actions: Sequence[str]) -> dict[str, str]:
    """A bucket, and a user that may do the actions within the prefix and nothing else."""
    import boto3

    owner = {"aws_access_key_id": "owner", "aws_secret_access_key": "owner"}  # pragma: allowlist secret
    place = {"endpoint_url": url, "region_name": "us-east-1"}
    boto3.client("s3", **place, **owner).create_bucket(Bucket=BUCKET)
    iam = boto3.client("iam", **place, **owner)
    iam.create_user(UserName="nightledger")
    iam.put_user_policy(UserName="nightledger", PolicyName="staging", PolicyDocument=policy(*actions))
    key = iam.create_access_key(UserName="nightledger")["AccessKey"]
    return dict(zip(_AWS, (key["AccessKeyId"], key["SecretAccessKey"]), strict=True))


@contextmanager
def running_store(*actions: str) -> Iterator[ObjectStore]:
    """The store for as long as the block lasts; from its start on every call is held against the user's policy."""
    from moto.iam.access_control import S3IAMRequest
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    refuse = S3IAMRequest._raise_access_denied
    try:
        keys = _set_up(url, actions)
        region = {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
        store = ObjectStore(url, {**region, **keys})

        def refused(self: S3IAMRequest) -> None:
            store.denied.append(self._action)
            refuse(self)

        S3IAMRequest._raise_access_denied = refused
        requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=10).raise_for_status()
        yield store
    finally:
        requests.post(f"{url}/moto-api/reset-auth", data="inf", timeout=10).raise_for_status()
        S3IAMRequest._raise_access_denied = refuse
        requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()
        server.stop()

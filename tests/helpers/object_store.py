"""An object store on loopback that speaks S3 (moto's server), and the environment by which s3fs finds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
import s3fs
from botocore.client import BaseClient

KEY, SECRET = "AKIAEXAMPLEKEY", "a-secret-that-nobody-is-told"
BUCKET = "bucket"


@dataclass
class ObjectStore:
    """`environment` holds endpoint and credentials; `client` is boto3's, for tests to look and to damage."""

    url: str
    environment: dict[str, str]
    client: BaseClient

    def names(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """One with an empty bucket, until the block ends; this process finds it, and those that it starts."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    environment = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    s3fs.S3FileSystem.clear_instance_cache()  # one that an earlier block's server was meant with
    try:
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield ObjectStore(url, environment, client)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        server.stop()

"""An S3-compatible server on a loopback port, for tests of object storage."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

BUCKET = "shop"
SECRET = "not-a-real-secret"


@contextmanager
def running_object_storage() -> Iterator[fs.FileSystem]:
    """An empty bucket behind real connections; address and credentials are in the environment while it runs."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in settings.items():
                environment.setenv(name, value)
            # The address may make buckets only if it says so.
            filesystem, _ = fs.FileSystem.from_uri(f"s3://{BUCKET}?allow_bucket_creation=true")
            filesystem.create_dir(BUCKET)
            yield filesystem
    finally:
        server.stop()

"""An upload whose answer is lost, settled by reading the object's metadata back.

pip install boto3 'moto[s3]' flask flask-cors
python examples/reconcile/s3_put.py

The real client of AWS, and a server that speaks S3. The object carries the effect's key in its metadata, and
its ETag tells that the content is the same (where it is an MD5: not under KMS, nor of multipart uploads).
"""

import hashlib
import logging
from typing import Any

import boto3
from _lost_answer import Wire, serving
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from moto.server import ThreadedMotoServer

from holdfast import Effect, SyncLedger
from holdfast.reconcilers import by_reading

logging.getLogger("holdfast").setLevel(logging.ERROR)
logging.getLogger("werkzeug").setLevel(logging.ERROR)
BUCKET = "reports"
# One request is one attempt: a client that tries again by itself takes the decision away from the ledger.
ONCE = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


def client(address: tuple[str, int]) -> Any:
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    url = "http://{}:{}".format(*address)
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=ONCE, **keys)


def is_missing(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in {"404", "NoSuchKey"}


def wanted(effect: Effect) -> dict[str, Any]:
    digest = hashlib.md5(effect.args["text"].encode(), usedforsecurity=False).hexdigest()
    return {"ETag": f'"{digest}"', "Metadata": {"holdfast-key": effect.idem_key}}


def main(server: ThreadedMotoServer) -> None:
    wire = Wire(server.get_host_and_port())
    s3, operator = client(wire.address), client(server.get_host_and_port())
    operator.create_bucket(Bucket=BUCKET)
    operator.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def read(effect: Effect) -> Any:
        return s3.head_object(Bucket=BUCKET, Key=effect.args["name"])

    def upload(name: str, text: str, effect: Effect) -> Any:
        metadata = {"holdfast-key": effect.idem_key}
        done = s3.put_object(Bucket=BUCKET, Key=name, Body=text.encode(), Metadata=metadata)
        return {"etag": done["ETag"], "version": done["VersionId"]}

    def result(found: dict[str, Any]) -> Any:
        return {"etag": found["ETag"], "version": found["VersionId"]}

    with serving(wire), SyncLedger("memory://") as ledger:
        find = by_reading(read, expect=wanted, result=result, not_found=is_missing)
        tool = ledger.tool("s3.upload", timeout="30s", retry=False, reconcile=find)(upload)
        report = {"name": "2026/q3.csv", "text": "region,revenue\nnorth,100\n"}

        wire.cut_after(b"north,100")  # the content itself: what follows is the server's answer
        try:
            tool.run("report-q3", **report)
        except HTTPClientError as error:
            print("the answer was lost:", type(error).__name__)
        print("the ledger says:", ledger.effects()[0].state)

        wire.mend()
        print("the same call again: ETag", tool.run("report-q3", **report)["etag"])
        print("the ledger says:", ledger.effects()[0].state)
        versions = operator.list_object_versions(Bucket=BUCKET)["Versions"]
        print("versions in the bucket:", len(versions))


s3_server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
s3_server.start()
try:
    main(s3_server)
finally:
    s3_server.stop()

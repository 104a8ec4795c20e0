#!/usr/bin/env bash
# Tool: moto 5.2.5 (the usual stand-in for AWS in tests), by boto3 1.44.8, on a bucket with object lock.
# Expected: what S3 refuses is refused: a COMPLIANCE retention is not shortened, weakened or taken off, a date in the past not taken, versions not
#   suspended where objects are locked; a default retention can be set on a bucket that has objects.
# Happens: the deletion of a locked version is refused, as it should be. The retention is shortened, set to GOVERNANCE and taken off with success,
#   a date in the past is taken, versions are suspended, and the default cannot be set once there is an object.
# Hurts: the test "nobody can shorten the retention of a recording" fails by moto's fault, or was turned into the contrary to pass; a
#   worker that lowers a date by mistake is green in tests and gets 403 from the store; one that suspends versions too.
# Instead: try retention against a store that enforces it, with a date of a minute; in tests with moto expect refusals of deletions only.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'moto[s3]==5.2.5' boto3==1.44.8
cat > lock.py <<'PY'
from datetime import datetime, timedelta, timezone
import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

mock_aws().start()
s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="example", aws_secret_access_key="example")
s3.create_bucket(Bucket="calls", ObjectLockEnabledForBucket=True)
now = datetime.now(timezone.utc)

def put(key, until):
    return s3.put_object(Bucket="calls", Key=key, Body=b"speech", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)["VersionId"]

def tell(what, call):
    try:
        call()
        print(f"{what}: done")
    except ClientError as error:
        print(f"{what}: refused, {error.response['Error']['Code']}")

def retain(key, retention):
    version = put(key, now + timedelta(days=30))
    return lambda: s3.put_object_retention(Bucket="calls", Key=key, VersionId=version, Retention=retention)

kept = put("kept", now + timedelta(days=30))
tell("deletion of the version", lambda: s3.delete_object(Bucket="calls", Key="kept", VersionId=kept))
tell("COMPLIANCE shortened to a day", retain("a", {"Mode": "COMPLIANCE", "RetainUntilDate": now + timedelta(days=1)}))
tell("COMPLIANCE to GOVERNANCE", retain("b", {"Mode": "GOVERNANCE", "RetainUntilDate": now + timedelta(days=30)}))
tell("COMPLIANCE taken off", retain("c", {}))
tell("a date in the past", lambda: put("past", now - timedelta(days=9)))
tell("default retention, with objects", lambda: s3.put_object_lock_configuration(Bucket="calls", ObjectLockConfiguration={
    "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 5}}}))
tell("versions suspended", lambda: s3.put_bucket_versioning(Bucket="calls", VersioningConfiguration={"Status": "Suspended"}))
PY
seen=$(venv/bin/python lock.py)
echo "moto $(venv/bin/python -c 'import moto; print(moto.__version__)')"
echo "$seen"
[ "$seen" = "deletion of the version: refused, AccessDenied
COMPLIANCE shortened to a day: done
COMPLIANCE to GOVERNANCE: done
COMPLIANCE taken off: done
a date in the past: done
default retention, with objects: refused, InvalidBucket
versions suspended: done" ] || changed "other calls are refused"
echo "as described"

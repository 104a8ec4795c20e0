#!/usr/bin/env bash
# Tool: versitygw 1.8.0 (POSIX backend with versions), by boto3 1.44.8; a bucket with object lock whose default retention is set while it has objects.
# Expected: as in Amazon's S3, the default puts mode and date on each version that is written from then on, where HeadObject and GetObjectRetention
#   show them; versions of before have none and can be deleted.
# Happens: nothing is put on a version. HeadObject shows no mode and no date, GetObjectRetention says that there is none, for a version written in
#   parts or copied as well; its deletion is refused all the same. So is that of a version written before the default was set. The rule that counts
#   is the bucket's at the time of the deletion. A retention that was sent with the object is put on it and shown.
# Hurts: an inventory of what is protected until when is empty, and an auditor who reads it finds a breach; a destroyer that looks at the date first
#   takes a protected recording for a free one; what was to be destroyed from before the rule cannot be; a change of the default is one of the past.
# Instead: send mode and date with each object and read them back by HeadObject; use no default of the bucket; try the retention of a store by its
#   dates and by a deletion that has to be refused.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work/bin" go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 2>go.log || { cat go.log >&2; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check boto3==1.44.8
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export ROOT_ACCESS_KEY=exampleuser ROOT_SECRET_KEY=examplepassword HOME="$work"
mkdir files versions
bin/versitygw --port "127.0.0.1:$port" posix --versioning-dir "$work/versions" "$work/files" >server.log 2>&1 &
server=$!
echo "versitygw 1.8.0"
cat > retention.py <<'PY'
import sys, time
from datetime import datetime, timedelta, timezone
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="exampleuser", aws_secret_access_key="examplepassword",
                  region_name="us-east-1", config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))
for attempt in range(100):
    try:
        s3.create_bucket(Bucket="calls", ObjectLockEnabledForBucket=True)
        break
    except Exception:
        time.sleep(0.3)

def put(key, **more):
    return s3.put_object(Bucket="calls", Key=key, Body=b"speech", **more)["VersionId"]

def tell(what, key, version):
    one = {"Bucket": "calls", "Key": key, "VersionId": version}
    try:
        retention = s3.get_object_retention(**one)["Retention"]["Mode"]
    except ClientError:
        retention = "none"
    try:
        s3.delete_object(**one)
        deletion = "done"
    except ClientError as error:
        deletion = f"refused, {error.response['Error']['Code']}"
    head = "deleted" if deletion == "done" else s3.head_object(**one).get("ObjectLockMode", "none")
    print(f"{what}: GetObjectRetention {retention} | HeadObject {head} | deletion {deletion}")

first, before = put("first"), put("before")
tell("no default", "first", first)
s3.put_object_lock_configuration(Bucket="calls", ObjectLockConfiguration={
    "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 5}}})
tell("written before the default", "before", before)
tell("written after it", "after", put("after"))
upload = s3.create_multipart_upload(Bucket="calls", Key="parts")["UploadId"]
etag = s3.upload_part(Bucket="calls", Key="parts", UploadId=upload, PartNumber=1, Body=b"speech")["ETag"]
tell("in parts", "parts", s3.complete_multipart_upload(Bucket="calls", Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})["VersionId"])
tell("copied", "copied", s3.copy_object(Bucket="calls", Key="copied", CopySource="calls/after")["VersionId"])
tell("with its own retention", "own", put("own", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=datetime.now(timezone.utc) + timedelta(days=5)))
PY
seen=$(venv/bin/python retention.py "http://127.0.0.1:$port")
echo "$seen"
unseen="GetObjectRetention none | HeadObject none | deletion refused, AccessDenied"
[ "$seen" = "no default: GetObjectRetention none | HeadObject deleted | deletion done
written before the default: $unseen
written after it: $unseen
in parts: $unseen
copied: $unseen
with its own retention: GetObjectRetention COMPLIANCE | HeadObject COMPLIANCE | deletion refused, AccessDenied" ] || changed "the default is applied otherwise"
echo "as described"

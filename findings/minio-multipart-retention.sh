#!/usr/bin/env bash
# Tool: MinIO of 12 February 2026 (Go module v0.0.0-20260212201848-7aac2a2c5b7c), by boto3 1.44.8.
# Expected: a bucket's default retention of N days protects an object for N days from its LastModified on, however it was uploaded.
# Happens: for an upload in parts the date is set when the upload is begun, LastModified when it is completed. The retention that is
#   left is shorter by the time the upload took (here 5 seconds), and a rule that was set while the upload ran does not apply to it.
# Hurts: a recorder that uploads a call as it goes, or a backup tool that resumes a large upload after days, leaves objects whose protection
#   ends hours or days before the period does; an audit that adds the period to LastModified reports them.
# Instead: send mode and date with CreateMultipartUpload with a margin, or set them by PutObjectRetention after the upload has
#   completed; verify the date of each version by HeadObject.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

minio=v0.0.0-20260212201848-7aac2a2c5b7c
GOBIN="$work/bin" go install "github.com/minio/minio@$minio" 2>go.log || { cat go.log >&2; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check boto3==1.44.8
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free)
export MINIO_ROOT_USER=exampleuser MINIO_ROOT_PASSWORD=examplepassword HOME="$work"
bin/minio server "$work/data" --address "127.0.0.1:$port" --console-address "127.0.0.1:$(free)" >server.log 2>&1 &
server=$!
echo "minio $minio"
cat > upload.py <<'PY'
import sys, time
from datetime import timedelta
import boto3
from botocore.config import Config
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="exampleuser", aws_secret_access_key="examplepassword",
                  region_name="us-east-1", config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))
for attempt in range(100):
    try:
        s3.create_bucket(Bucket="calls", ObjectLockEnabledForBucket=True)
        break
    except Exception:
        time.sleep(0.3)
early = s3.create_multipart_upload(Bucket="calls", Key="early")["UploadId"]
s3.put_object_lock_configuration(Bucket="calls", ObjectLockConfiguration={
    "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}})
def complete(key, upload):
    etag = s3.upload_part(Bucket="calls", Key=key, UploadId=upload, PartNumber=1, Body=b"speech")["ETag"]
    s3.complete_multipart_upload(Bucket="calls", Key=key, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
s3.put_object(Bucket="calls", Key="at once", Body=b"speech")
slow = s3.create_multipart_upload(Bucket="calls", Key="in parts")["UploadId"]
time.sleep(5)
complete("in parts", slow)
complete("early", early)
for key in ("at once", "in parts", "early"):
    head = s3.head_object(Bucket="calls", Key=key)
    if "ObjectLockRetainUntilDate" not in head:
        print(f"{key}: no retention")
        continue
    lacking = timedelta(days=1) - (head["ObjectLockRetainUntilDate"] - head["LastModified"])
    print(f"{key}: {'at least 4 seconds short of a day' if lacking.total_seconds() >= 4 else 'a day'}")
PY
seen=$(venv/bin/python upload.py "http://127.0.0.1:$port")
echo "$seen"
[ "$seen" = "at once: a day
in parts: at least 4 seconds short of a day
early: no retention" ] || changed "the dates are set otherwise"
echo "as described"

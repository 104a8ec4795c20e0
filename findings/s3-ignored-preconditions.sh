#!/usr/bin/env bash
# Tools: MinIO of 12 February 2026 (Go module v0.0.0-20260212201848-7aac2a2c5b7c) and versitygw 1.8.0, by boto3 1.44.8.
# Expected: a server that honours If-None-Match on PutObject honours the preconditions of CopyObject and DeleteObject too, or refuses
#   a header that it does not know with 501.
# Happens: PutObject and CompleteMultipartUpload refuse with 412 in both, as they should. CopyObject with If-None-Match: * writes over an
#   object that is there in both; DeleteObject with an If-Match that does not fit deletes in MinIO and is refused by versitygw. What is
#   not honoured is ignored, and the answer is a success.
# Hurts: two purge or archive workers that rely on "delete only if unchanged" or "copy only if absent" lose the newer object; a probe that
#   tries a conditional put only, and infers the rest, says that the store is safe.
# Instead: probe every conditional call that is used, each by a refusal; keep versions on so that a lost object can be brought back.
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
GOBIN="$work/bin" go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 2>go.log || { cat go.log >&2; exit 1; }
export MINIO_ROOT_USER=exampleuser MINIO_ROOT_PASSWORD=examplepassword HOME="$work"
export ROOT_ACCESS_KEY=exampleuser ROOT_SECRET_KEY=examplepassword
cat > conditions.py <<'PY'
import sys, time
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="exampleuser", aws_secret_access_key="examplepassword",
                  region_name="us-east-1", config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))
for attempt in range(100):
    try:
        s3.create_bucket(Bucket="calls")
        break
    except Exception:
        time.sleep(0.3)
def refresh():
    s3.put_object(Bucket="calls", Key="a", Body=b"newer")
    s3.put_object(Bucket="calls", Key="b", Body=b"other")
def body():
    try:
        return s3.get_object(Bucket="calls", Key="a")["Body"].read().decode()
    except ClientError:
        return "nothing"
def told(what, call):
    refresh()
    try:
        answer = call()["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        answer = error.response["ResponseMetadata"]["HTTPStatusCode"]
    print(f"{what}: {answer}, then the key holds {body()}")
def in_parts():
    upload = s3.create_multipart_upload(Bucket="calls", Key="a")["UploadId"]
    etag = s3.upload_part(Bucket="calls", Key="a", UploadId=upload, PartNumber=1, Body=b"parts")["ETag"]
    return s3.complete_multipart_upload(Bucket="calls", Key="a", UploadId=upload, IfNoneMatch="*",
                                        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
told("put if absent", lambda: s3.put_object(Bucket="calls", Key="a", Body=b"put", IfNoneMatch="*"))
told("complete if absent", in_parts)
told("copy if absent", lambda: s3.copy_object(Bucket="calls", Key="a", CopySource="calls/b", IfNoneMatch="*"))
told("delete if unchanged", lambda: s3.delete_object(Bucket="calls", Key="a", IfMatch='"00000000000000000000000000000000"'))
PY
judge() { # a URL; the server is ended afterwards
    venv/bin/python conditions.py "$1"
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=""
}
port=$(free)
bin/minio server "$work/data" --address "127.0.0.1:$port" --console-address "127.0.0.1:$(free)" >server.log 2>&1 &
server=$!
judge "http://127.0.0.1:$port" >minio.txt
port=$(free)
mkdir files
bin/versitygw --port "127.0.0.1:$port" posix files >server.log 2>&1 &
server=$!
judge "http://127.0.0.1:$port" >versitygw.txt
echo "minio $minio"
cat minio.txt
echo "versitygw 1.8.0"
cat versitygw.txt
[ "$(cat minio.txt)" = "put if absent: 412, then the key holds newer
complete if absent: 412, then the key holds newer
copy if absent: 200, then the key holds other
delete if unchanged: 204, then the key holds nothing" ] || changed "MinIO refuses other calls"
[ "$(cat versitygw.txt)" = "put if absent: 412, then the key holds newer
complete if absent: 412, then the key holds newer
copy if absent: 200, then the key holds other
delete if unchanged: 412, then the key holds newer" ] || changed "versitygw refuses other calls"
echo "as described"

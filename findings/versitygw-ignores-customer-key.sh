#!/usr/bin/env bash
# Tool: versitygw 1.8.0 (POSIX backend), by boto3 1.44.8.
# Expected: PutObject with a key of the client (SSE-C), or with aws:kms or AES256, encrypts the object, or is refused by a server that cannot do it, as
#   PutBucketEncryption is here (NotImplemented); without the key of the client nobody reads the object.
# Happens: all three are taken with a success. The object is written in clear, and handed out without a key and with a wrong one; so is an upload in parts.
#   The answer lacks the header that says how the object was encrypted, which boto3 does not miss.
# Hurts: a backup job that was set up for SSE-C runs green against the gateway, and every recording lies readable on its disk and for everybody who may
#   read the bucket; destroying the key destroys nothing.
# Instead: encrypt before the upload; where SSE-C is used, take an answer without SSECustomerKeyMD5 for a failure, and try once that a read without
#   the key is refused.
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
mkdir files
bin/versitygw --port "127.0.0.1:$port" posix "$work/files" >server.log 2>&1 &
server=$!
cat > encrypt.py <<'PY'
import os, sys, time
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="exampleuser", aws_secret_access_key="examplepassword",
                  region_name="us-east-1", config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))
for attempt in range(300):
    try:
        s3.create_bucket(Bucket="calls")
        break
    except Exception:
        time.sleep(0.3)

def tell(what, call):
    try:
        print(f"{what}:", call())
    except ClientError as error:
        print(f"{what}: refused, {error.response['Error']['Code']}")

def stored(key, answer):
    with open(f"files/calls/{key}", "rb") as file:
        clear = file.read() == b"speech of Jane"
    said = answer.get("SSECustomerKeyMD5") or answer.get("ServerSideEncryption") or "nothing"
    return f"success, on disk {'in clear' if clear else 'encrypted'}, the answer says {said}"

def put(key, **more):
    return stored(key, s3.put_object(Bucket="calls", Key=key, Body=b"speech of Jane", **more))

def parts(key, **more):
    upload = {"Bucket": "calls", "Key": key, "UploadId": s3.create_multipart_upload(Bucket="calls", Key=key, **more)["UploadId"]}
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"speech of Jane", **more)["ETag"]
    return stored(key, s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}))

def customer():
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": os.urandom(32)}

tell("SSE-C", lambda: put("customer", **customer()))
tell("read without a key", lambda: s3.get_object(Bucket="calls", Key="customer")["Body"].read().decode())
tell("read with another key", lambda: s3.get_object(Bucket="calls", Key="customer", **customer())["Body"].read().decode())
tell("SSE-C in parts", lambda: parts("parts", **customer()))
tell("aws:kms", lambda: put("kms", ServerSideEncryption="aws:kms", SSEKMSKeyId="example"))
tell("AES256", lambda: put("aes", ServerSideEncryption="AES256"))
tell("as the default of the bucket", lambda: s3.put_bucket_encryption(Bucket="calls", ServerSideEncryptionConfiguration={
    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}))
PY
echo "versitygw 1.8.0"
seen=$(venv/bin/python encrypt.py "http://127.0.0.1:$port")
echo "$seen"
clear="success, on disk in clear, the answer says nothing"
[ "$seen" = "SSE-C: $clear
read without a key: speech of Jane
read with another key: speech of Jane
SSE-C in parts: $clear
aws:kms: $clear
AES256: $clear
as the default of the bucket: refused, NotImplemented" ] || changed "it is encrypted or refused"
echo "as described"

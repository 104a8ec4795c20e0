#!/usr/bin/env bash
# Tool: nats-server 2.15.3 (JetStream, file storage), by nats-py (version printed below).
# Expected: a message that was purged is gone from the stream's files as a deleted one is, at once or after a short while.
# Happens: it depends on how it left. Deleting one message by number overwrites its bytes; a purge of the whole stream drops the files.
#   A purge of one subject, the purge of a key in a key-value bucket, and an old value pushed out by the bucket's history only
#   mark it: the text stays readable in the message block, after more than three minutes and after the server was stopped too.
# Hurts: who erases one caller's data by purging the caller's subject or key leaves the text on the volume and in every backup of it.
# Instead: delete message by message (by number, with erasing, as here) before the purge; or encrypt the store by key and shred the key;
#   or keep one stream for each life span and drop whole streams.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work/bin" go install github.com/nats-io/nats-server/v2@v2.15.3 2>go.log || { cat go.log >&2; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check nats-py==2.16.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
bin/nats-server --version
bin/nats-server --addr 127.0.0.1 --port "$port" --jetstream --store_dir "$work/store" >server.log 2>&1 &
server=$!
cat > erase.py <<'PY'
import asyncio, sys
from importlib.metadata import version
import nats

async def main():
    print("nats-py", version("nats-py"))
    for attempt in range(50):
        try:
            connection = await nats.connect(sys.argv[1], allow_reconnect=False)
            break
        except Exception:
            await asyncio.sleep(0.2)
    stream = connection.jetstream()
    for name in ("one", "subject", "whole"):
        await stream.add_stream(name=name, subjects=[name + ".>"], storage="file")
        for caller in ("anna", "ben"):
            await stream.publish(f"{name}.{caller}", f"SAID-{name}-{caller}".encode())
    bucket = await stream.create_key_value(bucket="bucket", history=1)
    await bucket.put("anna", b"SAID-bucket-first")
    await bucket.put("anna", b"SAID-bucket-second")
    await stream.delete_msg("one", 1)
    await stream.purge_stream("subject", subject="subject.anna")
    await stream.purge_stream("whole")
    await bucket.purge("anna")
    await asyncio.sleep(1)
    for name in ("one", "subject", "whole"):
        print(name, "holds", (await stream.stream_info(name)).state.messages, "messages")
    try:
        await bucket.get("anna")
    except Exception as error:
        print("key anna:", type(error).__name__)
    await connection.close()
asyncio.run(main())
PY
venv/bin/python erase.py "nats://127.0.0.1:$port"
sleep 15
kill "$server"
wait "$server" || true
server=""
seen=""
for text in one-anna one-ben subject-anna subject-ben whole-anna bucket-first bucket-second; do
    line="$text $(if grep -rqaF "SAID-$text" store; then echo "is in the files"; else echo "is gone"; fi)"
    echo "$line"
    seen+="$line"$'\n'
done
[ "$seen" = "one-anna is gone
one-ben is in the files
subject-anna is in the files
subject-ben is in the files
whole-anna is gone
bucket-first is in the files
bucket-second is in the files
" ] || changed "other texts stay in the files"
echo "as described"

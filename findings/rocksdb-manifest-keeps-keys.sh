#!/usr/bin/env bash
# Tools: RocksDB (rocksdict 0.3.29) and LevelDB (plyvel 1.5.1), a store of calls by phone number, of which the first number in the order is erased.
# Expected: after the deletion, a flush and an explicit compaction of the whole range the number and what was stored under it are in no file.
# Happens: RocksDB has removed the value; the number stays in MANIFEST, as the smallest key of files that are long gone, until the store is
#   closed and opened again. LevelDB's compaction of the whole range leaves the value itself in a table file and the number in MANIFEST, after it was
#   opened again too. It goes only when other writes push that file further down, perhaps never.
# Hurts: phone numbers and identifiers used as keys, of people who were erased, are in each copy and checkpoint of a server that runs for months;
#   queues, brokers and stream processors keep their state in such stores, and an erasure check by reading the store finds nothing.
# Instead: use a keyed hash as the key and destroy its key; restart the store after an erasure and search the bytes of its files; with LevelDB
#   copy what remains into a new store.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check rocksdict==0.3.29 plyvel==1.5.1
cat > erase.py <<'PY'
import os, plyvel
from importlib.metadata import version
from rocksdict import BottommostLevelCompaction, CompactOptions, Options, Rdict
number, value = b"+15550100999", b"my name is Zyxwvut"

def tell(store, when):
    found = {}
    for name in sorted(os.listdir(store)):
        with open(os.path.join(store, name), "rb") as file:
            data = file.read()
        kind = name.split("-")[0] if "-" in name else name.split(".")[-1]
        for what, text in (("number", number), ("text", value)):
            if text in data:
                found.setdefault(what, set()).add(kind)
    print(f"{store}, {when}:", "; ".join(f"{what} in {' and '.join(sorted(kinds))}" for what, kinds in sorted(found.items())) or "nothing")

rows = [(b"+1555020%04d" % n, b"call about bill %d, " % n * 20) for n in range(1000)] + [(number, value * 20)]
print("rocksdict", version("rocksdict"), "plyvel", version("plyvel"))
options = Options(raw_mode=True)
options.create_if_missing(True)
rocks = Rdict("RocksDB", options)
for key, text in rows:
    rocks[key] = text
rocks.flush()
del rocks[number]
rocks.flush()
everything = CompactOptions()
everything.set_bottommost_level_compaction(BottommostLevelCompaction.force())
rocks.compact_range(None, None, everything)
tell("RocksDB", "deleted, flushed, compacted")
for n in range(2000, 4000):
    rocks[b"+1555020%04d" % n] = b"later call"
    if n % 500 == 0:
        rocks.flush()
rocks.compact_range(None, None, everything)
tell("RocksDB", "2000 calls later")
rocks.close()
tell("RocksDB", "closed")
Rdict("RocksDB", options).close()
tell("RocksDB", "opened again")

level = plyvel.DB("LevelDB", create_if_missing=True)
for key, text in rows:
    level.put(key, text)
level.compact_range()
level.delete(number)
level.compact_range()
tell("LevelDB", "deleted, compacted")
level.close()
level = plyvel.DB("LevelDB")
level.compact_range()
tell("LevelDB", "opened again, compacted")
assert level.get(number) is None
PY
seen=$(venv/bin/python erase.py)
echo "$seen"
[ "${seen#*$'\n'}" = "RocksDB, deleted, flushed, compacted: number in MANIFEST
RocksDB, 2000 calls later: number in MANIFEST
RocksDB, closed: number in MANIFEST
RocksDB, opened again: nothing
LevelDB, deleted, compacted: number in MANIFEST and ldb; text in ldb
LevelDB, opened again, compacted: number in MANIFEST and ldb; text in ldb" ] || changed "the number or the text is in other files"
echo "as described"

#!/usr/bin/env bash
# Tool: ZODB 6.4 (Python, the object database of Plone and Zope; FileStorage with a folder of blobs): a note and a recording of a call are deleted, then the
#   database is packed, as is done to erase the versions of before.
# Expected: after `pack()` up to the present moment the words are in no file of the database; with `pack_keep_old=False`, which keeps no copy, surely not.
# Happens: the whole database of before lies beside the new one as `calls.fs.old`, and the recording in `blobs.old`, both until the next pack begins, also over new
#   starts: with a pack a month each erasure is a month late, after the last pack it never comes. The note is in `calls.fs.tmp`, too, where each transaction is
#   gathered: the file is begun anew by each and never shortened (`_clear_temp` in FileStorage.py), so that the end of a large one outlasts small ones
#   until the program is started anew, with `pack_keep_old=False` as well.
# Hurts: what was erased can be read in full by whoever reads the folder, and is in each backup of it that is made by copying.
# Instead: set `pack_keep_old=False` (in zope.conf `pack-keep-old false`), start the program anew after a pack that erases, and leave `*.old` and `*.tmp` out of backups;
#   then look for a word that was erased through the whole folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ZODB==6.4
venv/bin/pip list 2>/dev/null | grep '^ZODB '
cat >erase.py <<'PY'
import os, time
import ZODB, ZODB.FileStorage, ZODB.blob
from persistent.mapping import PersistentMapping

def look(what):
    found = {"note": set(), "recording": set()}
    for folder, _, files in os.walk("."):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                text = file.read()
            where = os.path.join(folder, name).split(os.sep)[2]
            for kind, words in (("note", b"Musterfrau is afraid"), ("recording", b"voice of Musterfrau")):
                if words in text:
                    found[kind].add(where)
    print(f"{what}: " + ", ".join(f"{kind} in {' '.join(sorted(places)) or 'no file'}" for kind, places in found.items()))

for place, options in (("as it is", {}), ("keeping no copy", {"pack_keep_old": False})):
    print(place)
    os.mkdir(place)
    os.chdir(place)
    os.mkdir("data")
    def start():
        return ZODB.DB(ZODB.FileStorage.FileStorage("data/calls.fs", blob_dir="data/blobs", **options))
    database = start()
    with database.transaction() as connection:
        root = connection.root()
        root["number"] = 0
        root["others"] = PersistentMapping({number: "spoken" for number in range(50)})
        root["note"] = PersistentMapping(text="Musterfrau is afraid")
        root["recording"] = ZODB.blob.Blob(b"voice of Musterfrau")
    look("  written")
    with database.transaction() as connection:
        del connection.root()["note"], connection.root()["recording"]
    time.sleep(1)
    database.pack()
    with database.transaction() as connection:
        assert set(connection.root()) == {"number", "others"}
    look("  deleted and packed")
    for number in range(100):
        with database.transaction() as connection:
            connection.root()["number"] = number
    look("  after 100 changes")
    database.close()
    database = start()
    look("  started anew")
    time.sleep(1)
    database.pack()
    look("  packed again")
    database.close()
    os.chdir("..")
PY
seen=$(venv/bin/python erase.py)
echo "$seen"
[ "$seen" = "as it is
  written: note in calls.fs calls.fs.tmp, recording in blobs
  deleted and packed: note in calls.fs.old calls.fs.tmp, recording in blobs.old
  after 100 changes: note in calls.fs.old calls.fs.tmp, recording in blobs.old
  started anew: note in calls.fs.old, recording in blobs.old
  packed again: note in no file, recording in no file
keeping no copy
  written: note in calls.fs calls.fs.tmp, recording in blobs
  deleted and packed: note in calls.fs.tmp, recording in no file
  after 100 changes: note in calls.fs.tmp, recording in no file
  started anew: note in no file, recording in no file
  packed again: note in no file, recording in no file" ] || changed "other files hold what was erased"
echo "as described"

#!/usr/bin/env bash
# Tool: pyiceberg 0.12.0 (Python), a table of calls in a folder, with its catalog in SQLite; pyarrow as the maker, fastavro to look.
# Expected: after the rows of a caller were deleted and all older snapshots expired, the files that held them are deleted, as Spark and Trino
#   do; and after `purge_table` nothing of the table is left.
# Happens: expiring takes the snapshots out of the newest metadata file and deletes no file: the Parquet file with the erased row stays, and
#   nothing in the table names it any more. For that reason `purge_table` passes it over as well, if anything was written between the
#   deletion and the expiry: the row outlives the table. The manifests left beside it hold the least and greatest value of each column, packed,
#   so that a search through the bytes does not see them. Purged without having expired, everything goes.
# Hurts: a lake that forgets callers by delete and expire keeps their words, and after the expiry no tool that reads the table's metadata
#   can tell which file they are in.
# Instead: note the data files of the old snapshots (`inspect.all_files`) before expiring, and delete those that no snapshot left names; or
#   expire with Spark or Trino. Count an erasure as done when the files are gone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME="$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'pyiceberg[sql-sqlite]==0.12.0' pyarrow==26.0.1 fastavro==1.13.1
cat > erase.py <<'PY'
import os
from datetime import datetime, timedelta
from importlib.metadata import version
import fastavro, pyarrow
from pyiceberg.catalog.sql import SqlCatalog

print("pyiceberg", version("pyiceberg"))
calls = pyarrow.table({"id": range(100), "text": [f"call {n}" for n in range(100)]})
erased = pyarrow.table({"id": [1000], "text": ["Zyxwvut here"]})

def holds(path):
    with open(path, "rb") as file:
        if path.endswith(".avro"):
            return "Zyxwvut" in str(list(fastavro.reader(file)))
        return b"Zyxwvut" in file.read()

def tell(folder, when):
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    kinds = {"data" if path.endswith(".parquet") else "manifests" for path in paths if holds(path)}
    print(f"  {when}: the name is in {' and '.join(sorted(kinds)) or 'no file'}{'' if paths else ', no file is left'}")

def asks(table):
    print("  the table names the file of the erased row:", "yes" if any(holds(path.removeprefix("file://")) for path in table.inspect.all_files()["file_path"].to_pylist()) else "no")

for expire in (True, False):
    folder = os.path.abspath("expired" if expire else "kept")
    print("purged after expiring" if expire else "purged without expiring")
    os.mkdir(folder)
    catalog = SqlCatalog("lake", uri=f"sqlite:///{folder}.db", warehouse=f"file://{folder}")
    catalog.create_namespace("calls")
    table = catalog.create_table("calls.texts", schema=calls.schema)
    table.append(pyarrow.concat_tables([calls, erased]))
    table.delete("id = 1000")
    table.append(calls)
    tell(folder, "deleted, next calls written")
    if expire:
        asks(table)
        table.maintenance.expire_snapshots().older_than(datetime.now() + timedelta(days=1)).commit()
        table = catalog.load_table("calls.texts")
        tell(folder, f"expired, {len(table.snapshots())} snapshot left")
        asks(table)
    catalog.purge_table("calls.texts")
    tell(folder, "purged")
PY
seen=$(venv/bin/python -W ignore erase.py)
echo "$seen"
[ "$seen" = "pyiceberg 0.12.0
purged after expiring
  deleted, next calls written: the name is in data and manifests
  the table names the file of the erased row: yes
  expired, 1 snapshot left: the name is in data and manifests
  the table names the file of the erased row: no
  purged: the name is in data and manifests
purged without expiring
  deleted, next calls written: the name is in data and manifests
  purged: the name is in no file, no file is left" ] || changed "other files are left"
echo "as described"

#!/usr/bin/env bash
# Tool: deltalake 1.6.6 (Python on Rust's delta-rs), a table of calls in a folder; pyarrow as the maker.
# Expected: after the rows of a caller were deleted and the old files vacuumed with no retention, the caller's words are in none of the table's files.
# Happens: the data files are gone, and the log of the table still says for each file it ever had the least and the greatest value of each
#   column, in clear JSON, texts too: if the erased text was first or last by the alphabet, it stands there (some 60 characters
#   of it), next to the number of rows. It stays after vacuum, after a checkpoint and after cleaning the log, whose entries are too young.
# Hurts: names and first sentences of erased callers stay in the log of the lake, which more people may read than the data, and in each
#   copy of it.
# Instead: write tables with personal texts without statistics for those columns (delta.dataSkippingStatsColumns names the few that are
#   needed, such as the date); after an erasure search the log too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1
cat > erase.py <<'PY'
import os
from importlib.metadata import version
import pyarrow
from deltalake import DeltaTable, write_deltalake

erased = "my name is Zyxwvut"
rows = {"id": [*range(100), 1000], "text": [*(f"call {n}" for n in range(100)), erased]}
print("deltalake", version("deltalake"))

def tell(path, when):
    kinds = {"log" if "_delta_log" in folder else "data" for folder, _, names in os.walk(path) for name in names
             if b"Zyxwvut" in open(os.path.join(folder, name), "rb").read()}
    print(f"{path}, {when}: the name is in {' and '.join(sorted(kinds)) or 'no file'}")

for path, settings in (("usual", None), ("statistics for id only", {"delta.dataSkippingStatsColumns": "id"})):
    write_deltalake(path, pyarrow.table(rows), configuration=settings)
    table = DeltaTable(path)
    table.delete("id = 1000")
    tell(path, "deleted")
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    tell(path, "vacuumed")
    table.create_checkpoint()
    table.cleanup_metadata()
    tell(path, "checkpoint made, log cleaned")
PY
seen=$(venv/bin/python erase.py)
echo "$seen"
[ "$seen" = "deltalake 1.6.6
usual, deleted: the name is in data and log
usual, vacuumed: the name is in log
usual, checkpoint made, log cleaned: the name is in log
statistics for id only, deleted: the name is in data
statistics for id only, vacuumed: the name is in no file
statistics for id only, checkpoint made, log cleaned: the name is in no file" ] || changed "the name is elsewhere"
echo "as described"

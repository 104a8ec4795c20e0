#!/usr/bin/env bash
# Tool: ClickHouse 26.9.2 (as shipped in chdb-core 26.9.0 with chdb 4.4.0, Python), MergeTree tables with a TTL (retention period) of many years.
# Expected: a row with a TTL of 80 years is kept for 80 years, or the TTL is refused when the table is made, or the insert is.
# Happens: toDateTime ends on 7 February 2106 and toDate, toStartOfMonth and the like end in 2149; what lies behind begins again in 1970. The insert
#   succeeds, and when it returns the row is not there: no error, no warning. In November 2026 a TTL of 79 years keeps a row of that
#   day and one of 80 does not; older records, which expire earlier, are kept. `at + INTERVAL 80 YEAR` on the column itself is safe
#   in this version, although SELECT shows 1970 for the same expression; but `toDateTime(at)` is how TTLs are mostly written.
# Hurts: where a period is long (a century after birth, a working life and thirty years more), the newest records and those of the youngest
#   people are lost at once, and a test with a year or thirty passes.
# Instead: put the bare column (Date32, DateTime64) plus the interval into the TTL, with nothing around it; after each change of a TTL insert a
#   row of today and read it back; watch the count of rows after inserts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check chdb==4.4.0 chdb-core==26.9.0
cat > keep.py <<'PY'
import os, time
from chdb import session

os.environ["TZ"] = "UTC"
time.tzset()
base = session.Session("base")
def ask(text):
    return str(base.query(text, "TabSeparated")).strip()

# Relative to today, so that the answers stay the same until 2029.
days = {"today": "today()", "10 years ago": "today() - INTERVAL 10 YEAR", "40 years ago": "today() - INTERVAL 40 YEAR"}
print("ClickHouse", ask("SELECT version()"))
base.query("CREATE DATABASE calls ENGINE = Atomic")
for number, (kind, period) in enumerate([
    ("DateTime64(3)", "toDateTime(at) + INTERVAL 70 YEAR"),
    ("DateTime64(3)", "toDateTime(at) + INTERVAL 82 YEAR"),
    ("DateTime64(3)", "at + INTERVAL 82 YEAR"),
    ("DateTime", "at + INTERVAL 82 YEAR"),
    ("DateTime", "toStartOfDay(at) + INTERVAL 82 YEAR"),
    ("Date", "toDateTime(at) + INTERVAL 82 YEAR"),
    ("Date32", "at + INTERVAL 130 YEAR"),
    ("DateTime64(3)", "toStartOfMonth(at) + INTERVAL 130 YEAR"),
    ("DateTime64(3)", "toStartOfMonth(at) + INTERVAL 100 YEAR"),
]):
    table = f"calls.t{number}"
    base.query(f"CREATE TABLE {table} (name String, at {kind}) ENGINE = MergeTree ORDER BY name TTL {period}")
    for name, day in days.items():
        base.query(f"INSERT INTO {table} SELECT '{name}', {day}")
    left = ask(f"SELECT name FROM {table} ORDER BY at DESC").splitlines()
    print(f"{kind}, TTL {period}: {', '.join(left) or 'nothing'}")
print("year of SELECT at + INTERVAL 82 YEAR for a DateTime of today before 2000:", ask("SELECT toYear(now() + INTERVAL 82 YEAR) < 2000"))
PY
seen=$(venv/bin/python keep.py)
echo "$seen"
[ "$seen" = "ClickHouse 26.9.2.1
DateTime64(3), TTL toDateTime(at) + INTERVAL 70 YEAR: today, 10 years ago, 40 years ago
DateTime64(3), TTL toDateTime(at) + INTERVAL 82 YEAR: 10 years ago, 40 years ago
DateTime64(3), TTL at + INTERVAL 82 YEAR: today, 10 years ago, 40 years ago
DateTime, TTL at + INTERVAL 82 YEAR: today, 10 years ago, 40 years ago
DateTime, TTL toStartOfDay(at) + INTERVAL 82 YEAR: 10 years ago, 40 years ago
Date, TTL toDateTime(at) + INTERVAL 82 YEAR: 10 years ago, 40 years ago
Date32, TTL at + INTERVAL 130 YEAR: today, 10 years ago, 40 years ago
DateTime64(3), TTL toStartOfMonth(at) + INTERVAL 130 YEAR: 10 years ago, 40 years ago
DateTime64(3), TTL toStartOfMonth(at) + INTERVAL 100 YEAR: today, 10 years ago, 40 years ago
year of SELECT at + INTERVAL 82 YEAR for a DateTime of today before 2000: 1" ] || changed "other rows are kept"
echo "as described"

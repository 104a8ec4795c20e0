#!/usr/bin/env bash
# Tool: uuid7 0.1.0 (Python), beside uuid6 2025.0.1 and uuid_utils 1.2.0 as makers of UUIDs of version 7; DuckDB 2.0.1, ClickHouse 26.9
#   (chdb 4.4.0) and uuid_utils as their readers.
# Expected: an identifier of version 7 begins with the milliseconds since 1970, as RFC 9562 says; whoever reads it sees when the record was
#   made, and identifiers of two makers sort by time.
# Happens: the package named uuid7 follows a draft of before the RFC: 36 bits of seconds, then fractions. Version and variant are right, so
#   that everything takes it, and a record made in 2026 is dated 2203, one of 2010 is dated 2133. It sorts behind all that is made by others.
#   ClickHouse's Date ends in 2149 and begins anew: there the record of November 2026 is one of September 2023.
# Hurts: a purge by the date in the identifier ("older than ten years"), a TTL or a partition by month never finds these records, and a TTL of
#   three years over a Date deletes them on arrival; cursors "newer than the last one seen" skip all new records once the maker is changed.
# Instead: make them with uuid6, uuid_utils or Python 3.14; keep the time of a record in a column of its own; test that the database reads
#   today out of a fresh identifier.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check uuid7==0.1.0 uuid6==2025.0.1 uuid_utils==1.2.0 duckdb==2.0.1 chdb==4.4.0 pytz==2026.3
cat > dates.py <<'PY'
from datetime import datetime, timezone
from uuid import UUID
import chdb, duckdb, uuid6, uuid_extensions, uuid_utils

def readers(made):
    in_duckdb = duckdb.sql(f"select uuid_extract_timestamp('{made}'::uuid)").fetchall()[0][0]
    in_clickhouse = str(chdb.query(f"select UUIDv7ToDateTime(toUUID('{made}'), 'UTC')", "TSV")).strip()[:10]
    in_python = datetime.fromtimestamp(uuid_utils.UUID(str(made)).timestamp / 1000, timezone.utc)
    return f"version {UUID(str(made)).version}, DuckDB {in_duckdb:%Y-%m-%d}, ClickHouse {in_clickhouse}, uuid_utils {in_python:%Y-%m-%d}"

for day in ("2010-01-01", "2026-11-29"):
    seconds = int(datetime.fromisoformat(day + "T12:00+00:00").timestamp())
    print(f"uuid7 of {day}: {readers(uuid_extensions.uuid7(seconds * 10**9))}")
    print(f"uuid_utils of {day}: {readers(uuid_utils.uuid7(nanoseconds=seconds * 10**9))}")

made = uuid_extensions.uuid7(int(datetime(2026, 11, 29, 12, tzinfo=timezone.utc).timestamp()) * 10**9)
print("the same in ClickHouse as a Date:", str(chdb.query(f"select toDate(UUIDv7ToDateTime(toUUID('{made}'), 'UTC'))", "TSV")).strip())

today = f"{datetime.now(timezone.utc):%Y-%m-%d}"
old, new = uuid_extensions.uuid7(), uuid6.uuid7()
print("uuid6 of now is read as today:", "yes" if today in readers(new) else "no", "- sorts behind a uuid7 made before:", "yes" if str(new) > str(old) else "no")

calls = duckdb.connect()
calls.sql("create table calls (id uuid, made date)")
for year in range(2006, 2026):
    seconds = int(datetime(year, 6, 1, tzinfo=timezone.utc).timestamp())
    calls.execute("insert into calls values (?, ?), (?, ?)", [str(uuid_extensions.uuid7(seconds * 10**9)), f"{year}-06-01", str(uuid_utils.uuid7(nanoseconds=seconds * 10**9)), f"{year}-06-01"])
calls.sql("delete from calls where uuid_extract_timestamp(id) < timestamptz '2026-06-01' - interval 10 year")
print("left of 20 + 20 records after a purge of what is older than ten years:", calls.sql("select count(*) from calls").fetchall()[0][0],
      "- the oldest of", calls.sql("select min(made) from calls").fetchall()[0][0])
PY
echo "uuid7 0.1.0, uuid6 2025.0.1, uuid_utils 1.2.0, DuckDB 2.0.1, chdb 4.4.0"
seen=$(venv/bin/python dates.py)
echo "$seen"
[ "$seen" = "uuid7 of 2010-01-01: version 7, DuckDB 2133-11-06, ClickHouse 2133-11-06, uuid_utils 2133-11-06
uuid_utils of 2010-01-01: version 7, DuckDB 2010-01-01, ClickHouse 2010-01-01, uuid_utils 2010-01-01
uuid7 of 2026-11-29: version 7, DuckDB 2203-02-10, ClickHouse 2203-02-10, uuid_utils 2203-02-10
uuid_utils of 2026-11-29: version 7, DuckDB 2026-11-29, ClickHouse 2026-11-29, uuid_utils 2026-11-29
the same in ClickHouse as a Date: 2023-09-05
uuid6 of now is read as today: yes - sorts behind a uuid7 made before: no
left of 20 + 20 records after a purge of what is older than ten years: 30 - the oldest of 2006-06-01" ] || changed "other dates than described"
echo "as described"

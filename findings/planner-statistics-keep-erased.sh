#!/usr/bin/env bash
# Tools: PostgreSQL 15 and MariaDB 10.11.19 (Debian 12), SQLite 3.54.1 (apsw 3.54.1.0), DuckDB 2.0.1, a table of calls with a name in a column.
# Expected: after DELETE of all rows of a person and a vacuum that writes the table anew, or after TRUNCATE, nothing in the database holds the
#   name; if something does, it is gone after the statistics were collected again.
# Happens: the planner's statistics hold the value itself: as a most common value (PostgreSQL), as greatest value and in the histogram
#   (MariaDB), as a sample (SQLite), as least or greatest value (DuckDB). VACUUM FULL, OPTIMIZE and TRUNCATE leave it. In PostgreSQL ANALYZE
#   replaces it, but not if the table is empty: then all stays as it was, after TRUNCATE too. MariaDB's ANALYZE and OPTIMIZE leave it unless
#   `PERSISTENT FOR ALL` is added. In DuckDB `VACUUM ANALYZE` and CHECKPOINT leave it.
# Hurts: the name that occurred most (often the one whose erasure was demanded) is in system tables which no retention job looks at, in every
#   physical backup and replica, shown by `pg_stats`; a table emptied at the end of its retention keeps names for ever.
# Instead: after an erasure run ANALYZE (MariaDB: `PERSISTENT FOR ALL`), before the vacuum of the system tables; for an empty table drop it and
#   create it again; or collect no statistics of such columns (`ALTER COLUMN … SET STATISTICS 0`) before the first row comes.
set -euo pipefail
work=$(mktemp -d)
maria=""
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root data
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 \
    mariadb-server=1:10.11.19-0+deb12u1 mariadb-server-core mariadb-client-core >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check apsw==3.54.1.0 duckdb==2.0.1
base="$work/root/usr"
server="$base/lib/postgresql/15/bin"
libraries="$base/lib/x86_64-linux-gnu"
export LC_ALL=C
user=()
[ "$(id -u)" != 0 ] || { chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
post() { LD_LIBRARY_PATH="$libraries" "$@"; }
stop() {
    [ ! -f "$work/data/db/postmaster.pid" ] || post "${user[@]}" "$server/pg_ctl" -D "$work/data/db" -m immediate stop >/dev/null 2>&1 || true
    [ -z "$maria" ] || { kill -9 "$maria" && wait "$maria"; } 2>/dev/null || true
}
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }

post "${user[@]}" "$server/initdb" -D "$work/data/db" -U postgres -A trust >init.log 2>&1 || { cat init.log >&2; exit 1; }
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$work/data'" "jit = off" "autovacuum = off" >>data/db/postgresql.conf
post "${user[@]}" "$server/pg_ctl" -D "$work/data/db" -l "$work/data/log" -w start >start.log 2>&1 || { cat start.log data/log >&2; exit 1; }
pg() { post "$server/psql" -h "$work/data" -U postgres -X -q -At -d postgres "$@"; }
held() { pg -c "select case when most_common_vals::text like '%Zyxwvut%' then 'held' else 'gone' end from pg_stats where tablename = 'calls' and attname = 'name'"; }
fill="insert into calls select n, case when n % 5 = 0 then 'Zyxwvut' else 'name ' || n end from generate_series(1, 2000) n"
pg -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)"
pg -c "create table calls (id int, name text)" -c "$fill" -c "vacuum analyze calls" -c "delete from calls where name = 'Zyxwvut'" -c "vacuum full calls"
tell "PostgreSQL, deleted and VACUUM FULL" "$(held)"
pg -c "analyze calls"
tell "PostgreSQL, then ANALYZE" "$(held)"
pg -c "$fill" -c "analyze calls" -c "delete from calls" -c "vacuum (full, analyze) calls"
tell "PostgreSQL, all rows deleted, VACUUM FULL and ANALYZE" "$(held)"
pg -c "truncate calls" -c "analyze calls" -c "vacuum full" -c "checkpoint"
tell "PostgreSQL, then TRUNCATE, ANALYZE, VACUUM FULL of everything" "$(held), in the file of pg_statistic $(grep -qa Zyxwvut "data/db/$(pg -c "select pg_relation_filepath('pg_statistic')")" && echo held || echo gone)"

own=()
[ "$(id -u)" != 0 ] || own=(--user=root)
post "$base/bin/mariadb-install-db" --no-defaults --basedir="$base" --datadir="$work/maria" --auth-root-authentication-method=normal --skip-test-db "${own[@]}" >install.log 2>&1 || { cat install.log >&2; exit 1; }
LD_LIBRARY_PATH="$libraries" "$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/maria" --socket="$work/socket" --skip-networking --histogram-type=JSON_HB \
    --lc-messages-dir="$base/share/mysql" "${own[@]}" >server.log 2>&1 &
maria=$!
my() { post "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u root "$@"; }
for _ in $(seq 100); do my -e 'select 1' >/dev/null 2>&1 && break; sleep 0.3; done
my -e "select concat('MariaDB ', version())"
my -e "create database desk"
values() { my -e "select if(max_value like '%Zyxwvut%' or histogram like '%Zyxwvut%', 'held', 'gone') from mysql.column_stats where column_name = 'name'"; }
rows="insert into calls select seq, if(seq % 5 = 0, 'Zyxwvut', concat('name ', seq)) from seq_1_to_2000"
my desk -e "create table calls (id int primary key, name varchar(40)); $rows; analyze table calls persistent for all; delete from calls where name = 'Zyxwvut'; optimize table calls; analyze table calls" >/dev/null
tell "MariaDB, deleted, OPTIMIZE and ANALYZE" "$(values)"
my desk -e "truncate calls; analyze table calls" >/dev/null
tell "MariaDB, then TRUNCATE and ANALYZE" "$(values)"
my desk -e "analyze table calls persistent for all" >/dev/null
tell "MariaDB, then ANALYZE PERSISTENT FOR ALL" "$(values)"

cat > embedded.py <<'PY'
import apsw, duckdb
base = apsw.Connection("calls.sqlite")
run = lambda statement, *values: list(base.execute(statement, *values))
def held():
    with open("calls.sqlite", "rb") as file:
        return "held" if b"Zyxwvut" in file.read() else "gone"
run("PRAGMA secure_delete=ON")
run("CREATE TABLE calls(id INTEGER PRIMARY KEY, name)")
run("CREATE INDEX names ON calls(name)")
for n in range(1, 2001):
    run("INSERT INTO calls(name) VALUES(?)", ("Zyxwvut" if n % 5 == 0 else f"name {n}",))
run("ANALYZE")
run("DELETE FROM calls WHERE name = 'Zyxwvut'")
run("VACUUM")
print("SQLite, secure_delete, deleted and VACUUM:", held())
run("ANALYZE")
print("SQLite, then ANALYZE:", held())
duck = duckdb.connect("calls.duckdb")
duck.execute("CREATE TABLE calls AS SELECT n, CASE WHEN n = 7 THEN 'Zyxwvut' ELSE 'Name ' || n END AS name FROM range(2000) t(n)")
for statement in ("CHECKPOINT", "DELETE FROM calls WHERE n = 7", "CHECKPOINT", "VACUUM ANALYZE calls", "CHECKPOINT"):
    duck.execute(statement)
print("DuckDB, deleted, VACUUM ANALYZE, CHECKPOINT:", "held" if "Zyxwvut" in str(duck.execute("SELECT stats(name) FROM calls LIMIT 1").fetchall()) else "gone")
PY
while read -r line; do tell "${line%: *}" "${line##*: }"; done < <(venv/bin/python embedded.py)
[ "${seen%$'\n'}" = "PostgreSQL, deleted and VACUUM FULL: held
PostgreSQL, then ANALYZE: gone
PostgreSQL, all rows deleted, VACUUM FULL and ANALYZE: held
PostgreSQL, then TRUNCATE, ANALYZE, VACUUM FULL of everything: held, in the file of pg_statistic held
MariaDB, deleted, OPTIMIZE and ANALYZE: held
MariaDB, then TRUNCATE and ANALYZE: held
MariaDB, then ANALYZE PERSISTENT FOR ALL: gone
SQLite, secure_delete, deleted and VACUUM: held
SQLite, then ANALYZE: gone
DuckDB, deleted, VACUUM ANALYZE, CHECKPOINT: held" ] || changed "other statistics hold the name"
echo "as described"

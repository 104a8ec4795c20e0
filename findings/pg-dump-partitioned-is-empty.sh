#!/usr/bin/env bash
# Tool: pg_dump and pg_restore of PostgreSQL 15 (Debian 12): a table of calls that is partitioned by year, and one that is not.
# Expected: `--table=calls` dumps the calls, `--exclude-table` and `--exclude-table-data` leave them out, as with any other table; or an error.
# Happens: the rows are in the partitions, and the name means the empty table above them: `pg_dump --table=calls` has no row, with `--data-only` not even a statement; nor does
#   `pg_restore --table=calls` bring one back of a dump of everything. `--exclude-table=calls` leaves out the empty table, and `--exclude-table-data=calls`
#   nothing: both dumps have all calls, in clear. No warning, exit 0.
# Hurts: the nightly dump of the most important table restores to an empty one, from the day on which it was partitioned, with a script that worked
#   before; and the copy for developers or for a study, which was to be without calls, has them all.
# Instead: name the partitions, too (`--table='calls*'`, `--exclude-table-data='calls*'`; tried), in PostgreSQL 16 and newer `--table-and-children`,
#   `--exclude-table-and-children` and `--exclude-table-data-and-children`; count the rows of a restored dump, and look through a copy that is given away for a row that must not be in it.
set -euo pipefail
work=$(mktemp -d)
data="$work/data"
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root data
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
server="$work/root/usr/lib/postgresql/15/bin"
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" LC_ALL=C PGHOST="$data"
user=()
[ "$(id -u)" != 0 ] || { chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
stop() { [ ! -f "$data/db/postmaster.pid" ] || "${user[@]}" "$server/pg_ctl" -D "$data/db" -m fast stop >/dev/null 2>&1 || true; }

"${user[@]}" "$server/initdb" --no-sync -D "$data/db" -U postgres -A trust >init.log 2>&1 || { cat init.log >&2; exit 1; }
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$data'" "jit = off" "timezone = 'UTC'" >>"$data/db/postgresql.conf"
"${user[@]}" "$server/pg_ctl" -D "$data/db" -l "$data/log" -w start >start.log 2>&1 || { cat start.log "$data/log" >&2; exit 1; }
ask() { "$server/psql" -X -q -At -U postgres "$@"; }
ask -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)"
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
ask -d postgres <<'SQL'
create table calls (at date not null, note text) partition by range (at);
create table calls_2025 partition of calls for values from ('2025-01-01') to ('2026-01-01');
create table calls_2026 partition of calls for values from ('2026-01-01') to ('2027-01-01');
create table mails (at date not null, note text);
insert into calls values ('2025-03-01', 'spoken one'), ('2026-03-01', 'spoken two');
insert into mails values ('2025-03-01', 'written one'), ('2026-03-01', 'written two');
SQL
rows() { grep -c "$1 \(one\|two\)" run.sql || true; }
dump() { # what to call it, options
    local code=0
    "$server/pg_dump" -U postgres --file=run.sql "${@:2}" postgres 2>error.log || code=$?
    tell "$1" "exit $code, $(grep -c . error.log || true) warnings, $(rows spoken) calls, $(rows written) mails"
}
dump "of mails" --table=mails
dump "of calls" --table=calls
dump "of calls, data only" --data-only --table=calls
tell "statements COPY in it" "$(grep -c ^COPY run.sql || true)"
dump "of calls*" --table='calls*'
dump "without mails" --exclude-table=mails
dump "without calls" --exclude-table=calls
dump "without the data of mails" --exclude-table-data=mails
dump "without the data of calls" --exclude-table-data=calls
dump "without the data of calls*" --exclude-table-data='calls*'
"$server/pg_dump" -U postgres --format=custom --file=all.dump postgres
for table in mails calls; do
    code=0
    ask -d postgres -c "create database only_$table"
    "$server/pg_restore" -U postgres --table=$table --dbname=only_$table all.dump 2>error.log || code=$?
    tell "$table restored alone" "exit $code, $(grep -c . error.log || true) warnings, $(ask -d only_$table -c "select count(*) from $table") rows"
done
[ "$seen" = "of mails: exit 0, 0 warnings, 0 calls, 2 mails
of calls: exit 0, 0 warnings, 0 calls, 0 mails
of calls, data only: exit 0, 0 warnings, 0 calls, 0 mails
statements COPY in it: 0
of calls*: exit 0, 0 warnings, 2 calls, 0 mails
without mails: exit 0, 0 warnings, 2 calls, 0 mails
without calls: exit 0, 0 warnings, 2 calls, 2 mails
without the data of mails: exit 0, 0 warnings, 2 calls, 0 mails
without the data of calls: exit 0, 0 warnings, 2 calls, 2 mails
without the data of calls*: exit 0, 0 warnings, 0 calls, 2 mails
mails restored alone: exit 0, 0 warnings, 2 rows
calls restored alone: exit 0, 0 warnings, 0 rows
" ] || changed "other rows are dumped"
echo "as described"

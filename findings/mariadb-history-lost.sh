#!/usr/bin/env bash
# Tool: MariaDB 10.11.19 (Debian 12), a table of access rights `WITH SYSTEM VERSIONING`; libfaketime 0.9.10 for a clock that is set back.
# Expected: every former state of a row stays in the table: after a dump and its restore, and if the clock was corrected by two seconds; of
#   one person it can be deleted.
# Happens: mariadb-dump writes the present rows only, and restored they begin at the time of the restore (`--dump-history` writes all). A row
#   changed or deleted by a clock that is behind the row's begin leaves no history, and no warning: the former state is gone. `DELETE HISTORY`
#   takes a time and no WHERE: the history of one person goes with that of everybody.
# Hurts: "who was allowed to read this in March?" has no answer after a restore, or a wrong one; a right that was given and taken
#   back around a step of the clock never existed; a demand for erasure can be met only by deleting the whole trail.
# Instead: dump with `--dump-history` and count rows `FOR SYSTEM_TIME ALL` after a restore; slew clocks, never step them, on machines of
#   databases; keep a trail by trigger where it has to hold, and identities in it under keys that can be destroyed.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || { kill -9 "$server" && wait "$server"; } 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    mariadb-server=1:10.11.19-0+deb12u1 mariadb-server-core mariadb-client-core libfaketime=0.9.10-2.1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
base="$work/root/usr"
export LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu"
user=()
[ "$(id -u)" != 0 ] || user=(--user=root)
"$base/bin/mariadb-install-db" --no-defaults --basedir="$base" --datadir="$work/db" --auth-root-authentication-method=normal --skip-test-db "${user[@]}" >install.log 2>&1 || { cat install.log >&2; exit 1; }
echo "+0" >clock
LD_PRELOAD="$LD_LIBRARY_PATH/faketime/libfaketimeMT.so.1" FAKETIME_TIMESTAMP_FILE="$work/clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
    "$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/db" --socket="$work/socket" --skip-networking --lc-messages-dir="$base/share/mysql" "${user[@]}" >server.log 2>&1 &
server=$!
ask() { "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u root "$@"; }
for _ in $(seq 100); do ask -e 'select 1' >/dev/null 2>&1 && break; sleep 0.3; done
ask -e "select version()"

seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
states() { ask "$1" -e "select concat(person, ' ', may) from rights for system_time all order by row_start, person" | paste -sd ',' | sed 's/,/, /g'; }
make() { ask -e "create database $1" && ask "$1" -e "create table rights (person varchar(20) primary key, may varchar(20)) with system versioning; insert into rights values ('ann', 'read'), ('bob', 'read')"; }
make hospital
ask hospital -e "update rights set may = 'nothing' where person = 'ann'; delete from rights where person = 'bob'"
tell "changed and deleted" "$(states hospital)"
for option in "" --dump-history; do
    "$base/bin/mariadb-dump" --no-defaults -S "$work/socket" -u root $option hospital >dump.sql
    ask -e "create or replace database restored"
    ask restored <dump.sql
    tell "restored from mariadb-dump ${option:-without options}" "$(states restored)"
done
make stepped
echo "-2s" >clock
tell "the same with the clock two seconds behind, warnings" "$(ask stepped -e "update rights set may = 'nothing' where person = 'ann'; show warnings; delete from rights where person = 'bob'; show warnings" | wc -l)"
echo "+0" >clock
sleep 3
tell "history of that, the clock right again" "$(states stepped)"
tell "DELETE HISTORY of one person" "$(ask hospital -e "delete history from rights where person = 'bob'" 2>&1 | grep -o 'ERROR [0-9]*')"
ask hospital -e "delete history from rights before system_time now(6)"
tell "DELETE HISTORY before now" "$(states hospital)"
[ "$seen" = "changed and deleted: ann read, bob read, ann nothing
restored from mariadb-dump without options: ann nothing
restored from mariadb-dump --dump-history: ann read, bob read, ann nothing
the same with the clock two seconds behind, warnings: 0
history of that, the clock right again: ann nothing
DELETE HISTORY of one person: ERROR 1064
DELETE HISTORY before now: ann nothing
" ] || changed "another history is left"
echo "as described"

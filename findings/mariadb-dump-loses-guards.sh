#!/usr/bin/env bash
# Tools: mariadb-dump and MariaDB 10.11.19, mydumper and myloader 0.10.0 (Debian 12): a database with audit records that triggers refuse to change, an event that
#   deletes calls after 30 days, and a function that masks names.
# Expected: a dump of a database and its restore is the database: the rules that are stored in it with the rows are in it, or their loss is told.
# Happens: mariadb-dump leaves out the event and the function and keeps the triggers. mydumper leaves out all three. No warning, and exit 0
#   of the dump and of the restore. Each has options for the rest (--events --routines; --triggers --events --routines), with which all is back.
# Hurts: after the restore calls are kept for ever, and audit records take changes and deletions; rows are complete and the application runs, so that
#   a test of the restore by counting rows passes.
# Instead: give these options in each job that dumps; after a restore compare the counts of information_schema.triggers, events and routines with those of before;
#   run the check that must fail (delete an audit record) as part of the test of restores.
set -euo pipefail
work=$(mktemp -d)
maria=""
trap 'stop; rm -rf "$work"' EXIT
stop() { [ -z "$maria" ] || { kill -9 "$maria" && wait "$maria"; } 2>/dev/null || true; }
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    mydumper=0.10.1-1+deb12u2 mariadb-server=1:10.11.19-0+deb12u1 mariadb-server-core mariadb-client-core >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
base="$work/root/usr"
export LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu" LC_ALL=C
own=()
[ "$(id -u)" != 0 ] || own=(--user=root)
"$base/bin/mariadb-install-db" --no-defaults --basedir="$base" --datadir="$work/maria" --auth-root-authentication-method=normal --skip-test-db "${own[@]}" >install.log 2>&1 || { cat install.log >&2; exit 1; }
"$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/maria" --socket="$work/socket" --skip-networking --event-scheduler=ON \
    --lc-messages-dir="$base/share/mysql" "${own[@]}" >server.log 2>&1 &
maria=$!
my() { "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u root "$@"; }
for _ in $(seq 300); do my -e 'select 1' >/dev/null 2>&1 && break; sleep 0.3; done
my -e "select concat('MariaDB ', version()); create database desk"
"$base/bin/mydumper" --version
my desk <<'SQL'
create table audit (id int primary key, name varchar(40));
create table calls (id int primary key, at datetime);
insert into audit values (1, 'Example');
insert into calls values (1, now() - interval 31 day), (2, now());
create trigger no_change before update on audit for each row signal sqlstate '45000' set message_text = 'records are only added';
create trigger no_delete before delete on audit for each row signal sqlstate '45000' set message_text = 'records are only added';
create event term on schedule every 1 day starts now() + interval 1 day do delete from calls where at < now() - interval 30 day;
create function masked(name varchar(40)) returns varchar(40) deterministic return concat(left(name, 1), '***');
SQL
look() { # the database, what to call it
    echo "$2: $(my -e "select concat((select count(*) from $1.audit), ' audit records, ', (select count(*) from $1.calls), ' calls, ',
        (select count(*) from information_schema.triggers where trigger_schema = '$1'), ' triggers, ', (select count(*) from information_schema.events where event_schema = '$1'), ' events, ',
        (select count(*) from information_schema.routines where routine_schema = '$1'), ' functions')")," \
        "deleting an audit record: $(my -e "delete from $1.audit" 2>error.log && echo done || grep -o 'records are only added' error.log)"
}
dumped() { # what to call it, the database to restore to, options
    local code=0 restored=0
    "$base/bin/mariadb-dump" --no-defaults -S "$work/socket" -u root "${@:3}" desk >"$2.sql" 2>dump.log || code=$?
    my -e "create database $2"
    my "$2" <"$2.sql" 2>restore.log || restored=$?
    echo "$1: dump exit $code, $(grep -c . dump.log || true) warnings, restore exit $restored"
    look "$2" "$1"
}
mydumped() {
    local code=0 restored=0
    "$base/bin/mydumper" -S "$work/socket" -u root -B desk -o "$2-out" "${@:3}" >dump.log 2>&1 || code=$?
    "$base/bin/myloader" -S "$work/socket" -u root -d "$2-out" -B "$2" >restore.log 2>&1 || restored=$?
    echo "$1: dump exit $code, $(grep -c . dump.log || true) warnings, restore exit $restored"
    look "$2" "$1"
}
{
    look desk before
    dumped mariadb-dump one
    dumped "mariadb-dump with options" two --events --routines
    mydumped mydumper three
    mydumped "mydumper with options" four --triggers --events --routines
} >seen
cat seen
whole="1 audit records, 2 calls, 2 triggers, 1 events, 1 functions, deleting an audit record: records are only added"
[ "$(cat seen)" = "before: $whole
mariadb-dump: dump exit 0, 0 warnings, restore exit 0
mariadb-dump: 1 audit records, 2 calls, 2 triggers, 0 events, 0 functions, deleting an audit record: records are only added
mariadb-dump with options: dump exit 0, 0 warnings, restore exit 0
mariadb-dump with options: $whole
mydumper: dump exit 0, 0 warnings, restore exit 0
mydumper: 1 audit records, 2 calls, 0 triggers, 0 events, 0 functions, deleting an audit record: done
mydumper with options: dump exit 0, 0 warnings, restore exit 0
mydumper with options: $whole" ] || changed "other parts are in the dump"
echo "as described"

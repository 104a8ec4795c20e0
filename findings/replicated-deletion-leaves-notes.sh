#!/usr/bin/env bash
# Tool: logical replication of PostgreSQL 15 (Debian 12): calls are published by the database of the contact centre, once as one table and once partitioned by year, and
#   read in a second one, where notes refer to them (`REFERENCES calls ON DELETE CASCADE`) and a trigger writes down what was deleted.
# Expected: a call that is deleted, or a year that is emptied, by the retention of the first database goes in the second one too, with its notes, as it does
#   when deleted there by hand, and is written down; or the deletion is an error, as a note without a call is against the constraint.
# Happens: the call goes and its notes stay, with a number of a call that does not exist, against a constraint that counts as valid; nothing is written down. Cascades are
#   triggers, and the worker that applies changes runs as a replica, for which no trigger fires that was not made `ENABLE REPLICA` or `ENABLE ALWAYS`. A TRUNCATE,
#   with CASCADE too, is refused there because of the notes, and the subscription stands still from then on. With
#   `publish_via_partition_root` the TRUNCATE of one year is not sent at all: the second database keeps the year, without an error.
# Hurts: what was said about a person is kept where nobody looks for it, as its call is gone and each list joins the two; a dump of the second database cannot
#   be restored, as its constraint does not hold.
# Instead: delete the notes by a trigger that is `ENABLE ALWAYS` (with `public.` in it, as it runs without a search path); empty a year by DELETE or without
#   `publish_via_partition_root`; count the rows without a parent and look for the oldest row in each database that subscribes, regularly.
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
stop() { [ ! -f "$data/db/postmaster.pid" ] || "${user[@]}" "$server/pg_ctl" -D "$data/db" -m immediate stop >/dev/null 2>&1 || true; }

"${user[@]}" "$server/initdb" --no-sync -D "$data/db" -U postgres -A trust >init.log 2>&1 || { cat init.log >&2; exit 1; }
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$data'" "jit = off" "timezone = 'UTC'" "wal_level = logical" "fsync = off" \
    "wal_retrieve_retry_interval = 1s" >>"$data/db/postgresql.conf"
"${user[@]}" "$server/pg_ctl" -D "$data/db" -l "$data/log" -w -t 300 start >start.log 2>&1 || { cat start.log "$data/log" >&2; exit 1; }
ask() { "$server/psql" -X -q -At -v ON_ERROR_STOP=1 -U postgres "$@"; }
ask -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)"
ask -c 'create database centre' -c 'create database notes'
ask -d centre <<'SQL'
create table calls (id int primary key, said text);
create table years (id int, at date, primary key (id, at)) partition by range (at);
create table years_2025 partition of years for values from ('2025-01-01') to ('2026-01-01');
create table years_2026 partition of years for values from ('2026-01-01') to ('2027-01-01');
insert into calls values (1, 'one'), (2, 'two'), (3, 'three');
insert into years values (1, '2025-03-01'), (2, '2026-03-01');
create publication calls for table calls;
create publication years for table years with (publish_via_partition_root = true);
select 1 from pg_create_logical_replication_slot('calls', 'pgoutput') \g /dev/null
select 1 from pg_create_logical_replication_slot('years', 'pgoutput') \g /dev/null
SQL
ask -d notes <<SQL
create table calls (id int primary key, said text);
create table notes (call int not null references calls on delete cascade, note text);
create table deleted (id int);
create function tell() returns trigger language plpgsql as 'begin insert into deleted values (old.id); return null; end';
create trigger tell after delete on calls for each row execute function tell();
create table years (id int, at date, primary key (id, at)) partition by range (at);
create table years_2025 partition of years for values from ('2025-01-01') to ('2026-01-01');
create table years_2026 partition of years for values from ('2026-01-01') to ('2027-01-01');
create subscription calls connection 'host=$data dbname=centre user=postgres' publication calls with (create_slot = false, slot_name = 'calls');
create subscription years connection 'host=$data dbname=centre user=postgres' publication years with (create_slot = false, slot_name = 'years');
SQL
until_is() { # database, query, value, how long
    local one=""
    for _ in $(seq "$4"); do
        one=$(ask -d "$1" -c "$2")
        [ "$one" != "$3" ] || return 0
        sleep 0.5
    done
    changed "$2 is $one and not $3"
}
came() { # everything that was sent by a subscription was applied
    local now
    now=$(ask -d centre -c 'select pg_current_wal_lsn()')
    until_is centre "select confirmed_flush_lsn >= '$now' from pg_replication_slots where slot_name = '$1'" t 240
}
until_is notes "select count(*) from pg_subscription_rel where srsubstate = 'r'" 2 240
until_is notes 'select count(*) from calls' 3 120
ask -d notes -c "insert into notes values (1, 'fears an illness'), (2, 'asks for a date'), (3, 'wants to complain')"
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
state() { ask -d notes -c "select format('%s calls, %s notes, %s of them without a call, %s written down', (select count(*) from calls), (select count(*) from notes),
    (select count(*) from notes where not exists (select from calls where id = call)), (select count(*) from deleted))"; }
tell "before" "$(state)"
ask -d notes -c 'delete from calls where id = 3'
tell "call 3 deleted by hand" "$(state)"
ask -d centre -c 'delete from calls where id = 1'
came calls
tell "call 1 deleted by retention" "$(state)"
tell "constraint counts as valid" "$(ask -d notes -c "select convalidated from pg_constraint where contype = 'f' and conrelid = 'notes'::regclass")"
"$server/pg_dump" -U postgres --no-subscriptions --file=dump.sql notes
ask -c 'create database restored'
code=0
ask -d restored -f dump.sql >restore.log 2>&1 || code=$?
tell "its dump restored" "exit $code, $(grep -o 'violates foreign key constraint' restore.log || true)"
ask -d notes -c 'create function along() returns trigger language plpgsql as $$begin delete from public.notes where call = old.id; return null; end$$' \
    -c 'create trigger along after delete on calls for each row execute function along()' -c 'alter table calls enable always trigger along'
ask -d centre -c 'delete from calls where id = 2'
came calls
tell "call 2 deleted, with a trigger made ENABLE ALWAYS" "$(state)"

years() { ask -d "$1" -c "select string_agg(extract(year from at)::text, ' ' order by at) from years"; }
until_is notes 'select count(*) from years' 2 120
tell "years before" "$(years centre), there $(years notes)"
ask -d centre -c 'truncate years_2025' -c "insert into years values (3, '2026-04-01')"
came years
tell "2025 emptied by TRUNCATE" "$(years centre), there $(years notes)"
ask -d centre -c 'truncate years'
came years
tell "all emptied by TRUNCATE" "$(years centre), there $(years notes)"

ask -d centre -c "insert into calls values (4, 'four')"
came calls
ask -d notes -c "insert into notes values (4, 'is afraid')"
failures() { grep -c 'cannot truncate a table referenced in a foreign key constraint' "$data/log" || true; }
[ "$(failures)" = 0 ] || changed "a TRUNCATE was refused before"
ask -d centre -c 'truncate calls cascade'
for _ in $(seq 240); do [ "$(failures)" = 0 ] || break; sleep 0.5; done
tell "calls emptied by TRUNCATE CASCADE" "refused there: $([ "$(failures)" = 0 ] && echo no || echo yes), $(state)"
[ "$seen" = "before: 3 calls, 3 notes, 0 of them without a call, 0 written down
call 3 deleted by hand: 2 calls, 2 notes, 0 of them without a call, 1 written down
call 1 deleted by retention: 1 calls, 2 notes, 1 of them without a call, 1 written down
constraint counts as valid: t
its dump restored: exit 3, violates foreign key constraint
call 2 deleted, with a trigger made ENABLE ALWAYS: 0 calls, 1 notes, 1 of them without a call, 1 written down
years before: 2025 2026, there 2025 2026
2025 emptied by TRUNCATE: 2026 2026, there 2025 2026 2026
all emptied by TRUNCATE: , there 
calls emptied by TRUNCATE CASCADE: refused there: yes, 1 calls, 2 notes, 1 of them without a call, 1 written down
" ] || changed "other rows stay"
echo "as described"

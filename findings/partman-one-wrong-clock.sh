#!/usr/bin/env bash
# Tool: pg_partman 4.7.2 with PostgreSQL 15 (Debian 12): tables of calls and of messages by month, with `retention = '3 months'`.
# Expected: maintenance drops the months that are over; a record with a wrong date does harm to itself at most.
# Happens: the months are detached and kept as tables of their own with all that is in them (`retention_keep_table` is true unless told); set to
#   false later, it does not touch those already detached. One record dated five years ahead goes to the default partition; from then on
#   every maintenance fails where it wants to make the month of that record, before anything is dropped, and with it that of all tables
#   which come after. A record that arrives late, with a date long over, stays in the default partition for ever.
# Hurts: a month that is no longer in the table counts as deleted, and is in every backup; one telephone system with a wrong clock stops
#   the retention of everything, while inserts and queries go on as before.
# Instead: set `retention_keep_table = false` at the start and look for tables outside of pg_inherits; refuse dates ahead of now by a CHECK;
#   run maintenance table by table, alert on its failure and on each row of a default partition (`check_default()`), delete old ones there.
set -euo pipefail
work=$(mktemp -d)
data="$work/data"
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root data
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    postgresql-15-partman=4.7.2-1 postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
server="$work/root/usr/lib/postgresql/15/bin"
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" LC_ALL=C
user=()
[ "$(id -u)" != 0 ] || { chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
stop() { [ ! -f "$data/db/postmaster.pid" ] || "${user[@]}" "$server/pg_ctl" -D "$data/db" -m fast stop >/dev/null 2>&1 || true; }

"${user[@]}" "$server/initdb" -D "$data/db" -U postgres -A trust >init.log 2>&1 || { cat init.log >&2; exit 1; }
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$data'" "jit = off" "timezone = 'UTC'" >>"$data/db/postgresql.conf"
"${user[@]}" "$server/pg_ctl" -D "$data/db" -l "$data/log" -w start >start.log 2>&1 || { cat start.log "$data/log" >&2; exit 1; }
ask() { "$server/psql" -h "$data" -U postgres -X -q -At -d postgres "$@"; }
ask -c "create schema partman" -c "create extension pg_partman schema partman" \
    -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)" -c "select 'pg_partman ' || extversion from pg_extension where extname = 'pg_partman'"

seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
maintain() { ask -c "call partman.run_maintenance_proc()" >/dev/null 2>error.log && echo done || sed -n 's/ERROR:  //p' error.log | head -1; }
in_table() { ask -c "select count(*) from $1 where note is not null and at < now() + interval '1 day'"; }
detached() { ask -c "select coalesce(sum((xpath('/row/c/text()', query_to_xml('select count(*) as c from ' || oid::regclass, false, true, '')))[1]::text::int), 0)
    from pg_class where relname ~ '^$1_p[0-9]' and relkind = 'r' and not relispartition"; }
for table in calls messages; do
    # Nine records, one in the middle of each month, this month's among them.
    ask -c "create table $table (at timestamptz not null, note text) partition by range (at)" \
        -c "select partman.create_parent('public.$table', 'at', 'native', 'monthly', p_start_partition := (date_trunc('month', now()) - interval '8 months')::text)" \
        -c "insert into $table select date_trunc('month', now()) - n * interval '1 month' + interval '1 hour', 'record ' || n from generate_series(0, 8) n" >/dev/null
done
ask -c "update partman.part_config set retention = '3 months'"
tell "maintenance" "$(maintain)"
tell "calls in the table, in detached months" "$(in_table calls), $(detached calls)"
ask -c "update partman.part_config set retention_keep_table = false, retention = '2 months'"
tell "maintenance without keeping tables" "$(maintain)"
tell "calls in the table, in detached months" "$(in_table calls), $(detached calls)"
ask -c "insert into calls values (now() + interval '5 years', 'of a telephone system with a wrong clock')" -c "update partman.part_config set retention = '1 month'"
tell "maintenance after one call with a wrong clock" "$(maintain)"
tell "calls, messages in the tables" "$(in_table calls), $(in_table messages)"
ask -c "delete from calls where at > now() + interval '1 year'" -c "insert into messages values (now() - interval '3 years', 'arrived late')"
tell "maintenance after the call was deleted" "$(maintain)"
tell "calls, messages in the tables" "$(in_table calls), $(in_table messages)"
tell "the oldest message is in" "$(ask -c "select tableoid::regclass || ': ' || note from messages order by at limit 1")"
[ "$seen" = 'maintenance: done
calls in the table, in detached months: 4, 5
maintenance without keeping tables: done
calls in the table, in detached months: 3, 5
maintenance after one call with a wrong clock: updated partition constraint for default partition "calls_default" would be violated by some row
calls, messages in the tables: 3, 3
maintenance after the call was deleted: done
calls, messages in the tables: 2, 3
the oldest message is in: messages_default: arrived late
' ] || changed "other records are left"
echo "as described"

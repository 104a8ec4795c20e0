#!/usr/bin/env bash
# Tool: pg_dump and pg_restore of PostgreSQL 15 (Debian 12): a table of calls with row-level security (each agent sees their own calls), rights by column, and a
#   trigger that refuses changes; of a dump of the whole database this one table is brought back with `pg_restore --table`, after it was lost.
# Expected: the table comes back as it is in the dump, or without any rights, or with a warning that a part of it stayed behind.
# Happens: the rights (GRANT) come back, row-level security, its policies, the trigger, the key and the indexes do not. No warning, exit 0: each agent may read,
#   and delete, the calls of all. `pg_dump --table` has these parts, but not the function of the trigger, and says so with exit 1.
#   A schema restored by `--schema` is whole.
# Hurts: after the restore of one table, which is what most restores are, everybody who had some rows has all of them, and records that could only be
#   added to can be changed; the application works, as its rights are there, and a test of the rights by name finds no difference.
# Instead: make a list with `pg_restore --list`, keep all lines that name the table, and give it to `--use-list` (tried: the table is as before), or restore into
#   another schema or database and copy the rows into the table as it is set up by the migrations; compare `relrowsecurity`, pg_policies and pg_trigger
#   before letting anybody in.
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
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" LC_ALL=C PGHOST="$data" PGUSER=postgres
user=()
[ "$(id -u)" != 0 ] || { chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
stop() { [ ! -f "$data/db/postmaster.pid" ] || "${user[@]}" "$server/pg_ctl" -D "$data/db" -m immediate stop >/dev/null 2>&1 || true; }

"${user[@]}" "$server/initdb" -D "$data/db" -U postgres -A trust >init.log 2>&1 || { cat init.log >&2; exit 1; }
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$data'" "jit = off" >>"$data/db/postgresql.conf"
"${user[@]}" "$server/pg_ctl" -D "$data/db" -l "$data/log" -w start >start.log 2>&1 || { cat start.log "$data/log" >&2; exit 1; }
ask() { "$server/psql" -X -q -At "$@"; }
ask -d postgres -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)" -c "create role agent login" -c "create role clerk login" -c "create database desk"
ask -d desk -v ON_ERROR_STOP=1 <<'SQL'
create table calls (id integer primary key, agent text not null, words text not null);
insert into calls values (1, 'agent', 'of this agent'), (2, 'colleague', 'of another'), (3, 'colleague', 'of another, too');
alter table calls enable row level security;
create policy own on calls using (agent = current_user);
grant select, delete on calls to agent;
grant select (id) on calls to clerk;
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'records are only added'; end $$;
create trigger only_added before update or delete on calls for each row execute function refuse();
SQL
look() { # the database, what to call it
    local agent deleted
    agent=$(ask -d "$1" -U agent -c "select count(*) from calls")
    deleted=$(ask -d "$1" -U agent -c "with gone as (delete from calls where id < 3 returning 1) select count(*) from gone" 2>error.log || grep -o 'records are only added' error.log)
    echo "$2: the agent reads $agent of 3, deletes: $deleted; the clerk reads the words: $(ask -d "$1" -U clerk -c "select max(words) from calls" >/dev/null 2>&1 && echo yes || echo no);" \
        "row security $(ask -d "$1" -c "select relrowsecurity from pg_class where relname = 'calls'"), policies $(ask -d "$1" -c "select count(*) from pg_policies")," \
        "triggers $(ask -d "$1" -c "select count(*) from pg_trigger where not tgisinternal"), indexes $(ask -d "$1" -c "select count(*) from pg_indexes where tablename = 'calls'")"
}
restore() { # the database, what to call it, the dump, options
    ask -d postgres -c "create database $1"
    local code=0
    "$server/pg_restore" -d "$1" "${@:4}" "$3" >restore.log 2>&1 || code=$?
    echo "$2: exit $code, $(grep -c . restore.log || true) lines of warning"
    look "$1" "$2"
}
"$server/pg_dump" -Fc -f whole.dump desk
"$server/pg_dump" -Fc -t calls -f table.dump desk
"$server/pg_restore" --list whole.dump | grep -E ' calls|refuse' >list
{
    look desk "before"
    restore by_table "--table of the whole dump" whole.dump --table=calls
    restore of_table "dump of the table" table.dump
    restore by_schema "--schema of the whole dump" whole.dump --schema=public
    restore by_list "--use-list" whole.dump --use-list=list
} >seen
cat seen
guarded="deletes: records are only added; the clerk reads the words: no; row security t, policies 1, triggers 1, indexes 1"
[ "$(cat seen)" = "before: the agent reads 1 of 3, $guarded
--table of the whole dump: exit 0, 0 lines of warning
--table of the whole dump: the agent reads 3 of 3, deletes: 2; the clerk reads the words: no; row security f, policies 0, triggers 0, indexes 0
dump of the table: exit 1, 3 lines of warning
dump of the table: the agent reads 1 of 3, deletes: 1; the clerk reads the words: no; row security t, policies 1, triggers 0, indexes 1
--schema of the whole dump: exit 0, 0 lines of warning
--schema of the whole dump: the agent reads 1 of 3, $guarded
--use-list: exit 0, 0 lines of warning
--use-list: the agent reads 1 of 3, $guarded" ] || changed "one table comes back with other parts"
echo "as described"

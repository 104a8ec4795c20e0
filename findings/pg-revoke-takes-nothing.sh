#!/usr/bin/env bash
# Tool: PostgreSQL 15 (Debian 12): rights are taken by the administrator (a superuser, who owns the tables) from an agent who leaves the team.
# Expected: after REVOKE, and after DROP OWNED BY, the right is gone at once, or an error says why not.
# Happens: - A right is kept once for each who gave it. What the team leader gave on (`with grant option`) stays after the administrator's `revoke select`,
#     `revoke all on all tables in schema` and `drop owned by`: no error, no warning, and the agent reads on.
#   - An agent who has done SET ROLE to a role goes on as that role, with all its rights, after the role was taken from them, for as long as
#     the connection lasts; only RESET ROLE ends it.
#   - `alter default privileges in schema … revoke execute on functions from public` changes nothing: a function made afterwards can be run by all.
# Hurts: the ticket "access taken" is closed on a command that succeeded; a pool of connections that sets the role of each person keeps the role for days.
# Instead: after each REVOKE ask has_table_privilege; take such a right in the name of who gave it (`set role`, then revoke) or by `revoke grant option for … cascade`
#   (tried: both work); end the sessions of the person by pg_terminate_backend; give ALTER DEFAULT PRIVILEGES without a schema to take what all have (tried).
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
create role agent login; create role leader login; create role auditor; grant auditor to agent;
create table calls (note text); insert into calls values ('a call');
create table audit (note text); insert into audit values ('a record');
grant select on audit to auditor;
grant select on calls to leader with grant option;
SQL
reads() { "$server/psql" -X -q -At -U agent -d postgres -c "select 'reads ' || note from calls" 2>error.log || grep -o 'permission denied' error.log; }
given() { "$server/psql" -X -q -At -U leader -d postgres -c "grant select on calls to agent"; }
take() { # what to call it, statements
    given
    ask -d postgres -c "${@:2}" 2>message.log
    tell "$1" "$(grep -c . message.log || true) messages, the agent $(reads)"
}
tell "before" "$(reads)"
take "revoke select" "revoke select on calls from agent"
take "revoke all on all tables" "revoke all on all tables in schema public from agent"
take "drop owned" "drop owned by agent"
take "revoke by who gave it" "set role leader; revoke select on calls from agent"
take "revoke the leader's grant option, cascade" "revoke grant option for select on calls from leader cascade"
mkfifo line
"$server/psql" -X -q -At -U agent -d postgres <line >session.log 2>&1 &
session=$!
exec 3>line
echo "set role auditor; select 'as ' || current_user || ': ' || note from audit;" >&3
for _ in $(seq 100); do [ ! -s session.log ] || break; sleep 0.1; done
ask -d postgres -c "revoke auditor from agent"
echo "select 'after the revoke as ' || current_user || ': ' || note from audit; reset role; select note from audit;" >&3
exec 3>&-
wait "$session" || true
tell "the open session" "$(sed 's/.*permission denied.*/after reset role: permission denied/' session.log | paste -sd ',' | sed 's/,/, /g')"
tell "set role anew" "$("$server/psql" -X -q -At -U agent -d postgres -c "set role auditor" 2>&1 | grep -o 'permission denied')"
runs() { "$server/psql" -X -q -At -U agent -d postgres -c "select $1()" 2>error.log || grep -o 'permission denied' error.log; }
ask -d postgres -c "alter default privileges in schema public revoke execute on functions from public" -c "create function export_one() returns text language sql as \$\$ select 'runs' \$\$" \
    -c "alter default privileges revoke execute on functions from public" -c "create function export_two() returns text language sql as \$\$ select 'runs' \$\$"
tell "a function made after the default was taken in the schema" "$(runs export_one)"
tell "a function made after the default was taken everywhere" "$(runs export_two)"
[ "$seen" = "before: permission denied
revoke select: 0 messages, the agent reads a call
revoke all on all tables: 0 messages, the agent reads a call
drop owned: 0 messages, the agent reads a call
revoke by who gave it: 0 messages, the agent permission denied
revoke the leader's grant option, cascade: 0 messages, the agent permission denied
the open session: as auditor: a record, after the revoke as auditor: a record, after reset role: permission denied
set role anew: permission denied
a function made after the default was taken in the schema: runs
a function made after the default was taken everywhere: permission denied
" ] || changed "other rights are left"
echo "as described"

#!/usr/bin/env bash
# Tool: pg_dump, pg_restore, pg_dumpall and templates of PostgreSQL 15 (Debian 12): a database of calls that only one role may connect to, whose statements are all
#   logged, and in which a reader has a role setting of their own (read only).
# Expected: what belongs to the database is in its dump; what is not is in that of the whole server (`pg_dumpall --globals-only`), so that both together are all of it.
# Happens: who may connect, and the settings of `alter database` and of `alter role … in database`, are in neither, where the dump is restored into a database that was
#   made for it (createdb and `pg_restore --dbname`), and in none that is copied by `createdb --template`. No warning, exit 0. They come with
#   `pg_restore --create` only, which makes the database under its old name.
# Hurts: the restored database, or the copy for a test, lets each account of the server connect, logs nothing and lets readers write, while tables, rows and rights
#   to tables are complete; the old database beside it, or the tables, show no difference.
# Instead: restore with `--create`, and rename afterwards (tried: all is there); or give the output of `pg_restore --create --section=pre-data --file=-` a look for
#   DATABASE and run those lines; compare datacl of pg_database and pg_db_role_setting before letting anybody in.
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
log_of() { # what the server logs of a query in that database
    local from
    from=$(wc -l <"$data/log")
    ask -d "$1" -c "select 'a read of $1'" >/dev/null
    sleep 0.3
    tail -n "+$((from + 1))" "$data/log" | grep -c "a read of $1" || true
}
look() { # what to call it, the database
    tell "$1" "a stranger $("$server/psql" -X -q -At -U stranger -d "$2" -c "select 'connects'" 2>error.log || grep -o 'permission denied' error.log), statements logged: $(log_of "$2"), $(
        )the reader $("$server/psql" -X -q -At -U reader -d "$2" -c "insert into calls values (0) returning 'writes'" 2>error.log || grep -o 'read-only transaction' error.log)"
}
ask -d postgres -c "create role stranger login; create role reader login" -c "create database desk" -c "revoke connect on database desk from public" -c "grant connect on database desk to reader" \
    -c "alter database desk set log_statement = 'all'" -c "alter role reader in database desk set default_transaction_read_only = on"
ask -d desk -c "create table calls (id int)" -c "grant select, insert on calls to reader"
look "before" desk
exits=""
run() { local code=0; "$@" >run.log 2>&1 || code=$?; exits+=" $code$([ ! -s run.log ] || echo " with a message")"; }
run "$server/pg_dump" -U postgres --format=custom --file=desk.dump desk
run "$server/pg_dumpall" -U postgres --globals-only --file=globals.sql
tell "in the globals" "$(grep -c desk globals.sql || true) lines of the database"
run "$server/createdb" -U postgres restored
run "$server/pg_restore" -U postgres --dbname=restored desk.dump
run "$server/createdb" -U postgres --template=desk copied
tell "exits" "${exits# }"
look "restored into a new database" restored
look "copied by template" copied
ask -d postgres -c "drop database desk"
"$server/pg_restore" -U postgres --create --dbname=postgres desk.dump
ask -d postgres -c "alter database desk rename to renamed"
look "restored with --create, and renamed" renamed
closed="a stranger permission denied, statements logged: 1, the reader read-only transaction"
open="a stranger connects, statements logged: 0, the reader writes"
[ "$seen" = "before: $closed
in the globals: 0 lines of the database
exits: 0 0 0 0 0
restored into a new database: $open
copied by template: $open
restored with --create, and renamed: $closed
" ] || changed "other parts come back"
echo "as described"

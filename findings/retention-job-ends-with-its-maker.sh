#!/usr/bin/env bash
# Tools: the event scheduler of MariaDB 10.11.19 and pg_cron 1.4 with PostgreSQL 15 (Debian 12): a job that deletes calls past their period, made by Anna.
# Expected: the job belongs to the database; when Anna's account is closed it runs on, or her account cannot be dropped, or the job is shown as ended.
# Happens: it runs with her rights and only while they last. Both let her role be dropped without a word about the job, and both go on to show it as enabled
#   or active; MariaDB counts each failed run as an execution (`last_executed`), with the error in the server's log alone. pg_cron keeps the failure
#   in cron.job_run_details, which says "connection failed". In pg_cron NOLOGIN is enough; MariaDB's ACCOUNT LOCK stops no event. A dump of
#   the database by mariadb-dump has no event at all, unless `--events` is given: the restored database deletes nothing.
# Hurts: an administrator leaves, the account is closed in order, and from that night on nothing is deleted any more, while every list of jobs looks
#   as it did; calls that should be gone are there at the next audit, or at the next breach.
# Instead: make such jobs under an account of no person (tried: `alter definer = … event`, `update cron.job set username`), look for jobs of whoever leaves,
#   and watch the age of the oldest record, not the job; dump with `--events`.
set -euo pipefail
work=$(mktemp -d)
maria=""
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root data
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 postgresql-15-cron=1.4.2-2+b1 \
    mariadb-server=1:10.11.19-0+deb12u1 mariadb-server-core mariadb-client-core >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
base="$work/root/usr"
postgres="$base/lib/postgresql/15/bin"
export LC_ALL=C
user=() own=()
[ "$(id -u)" != 0 ] || { chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); own=(--user=root); }
debian() { LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu" "$@"; }
stop() {
    [ -z "$maria" ] || { kill -9 "$maria" && wait "$maria"; } 2>/dev/null || true
    [ ! -f "$work/data/db/postmaster.pid" ] || debian "${user[@]}" "$postgres/pg_ctl" -D "$work/data/db" -m immediate stop >/dev/null 2>&1 || true
}
seen=""
tell() { echo "$1"; seen+="$1"$'\n'; }

debian "$base/bin/mariadb-install-db" --no-defaults --basedir="$base" --datadir="$work/maria" --auth-root-authentication-method=normal --skip-test-db "${own[@]}" >install.log 2>&1 || { cat install.log >&2; exit 1; }
LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu" "$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/maria" --socket="$work/socket" --skip-networking --event-scheduler=ON \
    --lc-messages-dir="$base/share/mysql" "${own[@]}" >server.log 2>&1 &
maria=$!
my() { debian "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u "${who:-root}" -pexample "$@"; }
for _ in $(seq 200); do debian "$base/bin/mariadb" --no-defaults -S "$work/socket" -u root -e "set password = password('example')" >/dev/null 2>&1 && break; sleep 0.3; done
my -e "select concat('MariaDB ', version()); create database desk; create table desk.calls (at datetime); create user anna identified by 'example'; grant all on desk.* to anna"
who=anna my desk -e "create event erase on schedule every 1 second do delete from calls where at < now() - interval 1 day"
round() { # an old call, and what became of it when the event ran twice
    my desk -e "insert into calls values (now() - interval 2 day)"
    local begin
    begin=$(my -e "select unix_timestamp()")
    for _ in $(seq 200); do [ "$(my -e "select unix_timestamp(last_executed) > $begin + 1 from information_schema.events")" = 1 ] && break; sleep 0.3; done
    tell "MariaDB, $1: old calls left $(my desk -e "select count(*) from calls"), the event is $(my -e "select status, if(unix_timestamp(last_executed) > $begin + 1, 'executed since', 'not executed') from information_schema.events" | xargs)"
}
round "anna is there"
my -e "alter user anna account lock"
round "locked"
my -e "alter user anna account unlock; revoke delete on desk.* from anna"
round "her right taken"
my -e "grant delete on desk.* to anna; drop user anna"
round "dropped"
my -e "create user janitor account lock; grant select, delete, event on desk.* to janitor; alter definer = janitor event desk.erase enable"
round "given to an account that nobody logs in with"
tell "MariaDB, in a dump of the database: $(debian "$base/bin/mariadb-dump" --no-defaults -S "$work/socket" -u root -pexample desk | grep -c 'EVENT') events, with --events: $(debian "$base/bin/mariadb-dump" --no-defaults -S "$work/socket" -u root -pexample --events desk | grep -c 'CREATE.*EVENT')"

debian "${user[@]}" "$postgres/initdb" -D "$work/data/db" -U postgres -A trust >init.log 2>&1 || { cat init.log >&2; exit 1; }
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$work/data'" "jit = off" "shared_preload_libraries = 'pg_cron'" "cron.database_name = 'desk'" "cron.host = '$work/data'" >>data/db/postgresql.conf
debian "${user[@]}" "$postgres/pg_ctl" -D "$work/data/db" -l "$work/data/log" -w start >start.log 2>&1 || { cat start.log data/log >&2; exit 1; }
pg() { debian "$postgres/psql" -h "$work/data" -U "${who:-postgres}" -X -q -At -d desk "$@"; }
debian "$postgres/psql" -h "$work/data" -U postgres -X -q -c "create database desk"
pg -c "create extension pg_cron" -c "select 'PostgreSQL ' || split_part(version(), ' ', 2) || ', pg_cron ' || extversion from pg_extension where extname = 'pg_cron'" \
    -c "create role anna login" -c "create table calls (at timestamptz)" -c "grant all on calls to anna" -c "grant usage on schema cron to anna"
who=anna pg -c "select cron.schedule('erase', '* * * * *', 'delete from calls where at < now() - interval ''1 day''')" >/dev/null
round() { # an old call, and what became of it when the job ran
    pg -c "insert into calls values (now() - interval '2 days')"
    local last
    last=$(pg -c "select coalesce(max(runid), 0) from cron.job_run_details")
    for _ in $(seq 400); do [ -n "$(pg -c "select 1 from cron.job_run_details where runid > $last and status in ('succeeded', 'failed')")" ] && break; sleep 0.3; done
    tell "PostgreSQL, $1: old calls left $(pg -c "select count(*) from calls"), the job of $(pg -c "select username || ' is ' || case when active then 'active' else 'not active' end from cron.job"), its last run $(pg -c "select status || ' (' || case when return_message like 'ERROR%' then 'permission denied' else return_message end || ')' from cron.job_run_details order by runid desc limit 1")"
}
round "anna is there"
pg -c "alter role anna nologin"
round "nologin"
pg -c "alter role anna login" -c "revoke delete on calls from anna"
round "her right taken"
pg -c "revoke all on calls from anna" -c "revoke usage on schema cron from anna" -c "drop role anna"
round "dropped"
pg -c "create role janitor login" -c "grant select, delete on calls to janitor" -c "update cron.job set username = 'janitor'"
round "given to an account of nobody"
[ "$seen" = "MariaDB, anna is there: old calls left 0, the event is ENABLED executed since
MariaDB, locked: old calls left 0, the event is ENABLED executed since
MariaDB, her right taken: old calls left 1, the event is ENABLED executed since
MariaDB, dropped: old calls left 2, the event is ENABLED executed since
MariaDB, given to an account that nobody logs in with: old calls left 0, the event is ENABLED executed since
MariaDB, in a dump of the database: 0 events, with --events: 1
PostgreSQL, anna is there: old calls left 0, the job of anna is active, its last run succeeded (DELETE 1)
PostgreSQL, nologin: old calls left 1, the job of anna is active, its last run failed (connection failed)
PostgreSQL, her right taken: old calls left 2, the job of anna is active, its last run failed (permission denied)
PostgreSQL, dropped: old calls left 3, the job of anna is active, its last run failed (connection failed)
PostgreSQL, given to an account of nobody: old calls left 0, the job of janitor is active, its last run succeeded (DELETE 4)
" ] || changed "other jobs run"
echo "as described"

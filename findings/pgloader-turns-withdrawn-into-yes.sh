#!/usr/bin/env bash
# Tool: pgloader 3.6.7 (Debian 12), which moves a database of MariaDB 10.11.19 (server in UTC) into PostgreSQL 15 (database in Europe/Amsterdam): calls with a consent as
#   `tinyint(1)` (0 not asked, 1 given, 2 withdrawn, -1 refused) and an instant as TIMESTAMP; and messages, of which one has a duration of 30 hours as TIME.
# Expected: a small number stays a number and an instant an instant; if a row cannot be moved the command fails.
# Happens: - Each `tinyint(1)` becomes boolean, and whatever is not 0 becomes true: withdrawn and refused are given.
#   - Instants are read as MariaDB's session shows them, without a zone, and taken for Amsterdam's: each is one or two hours early.
#   - For the one message that PostgreSQL's TIME does not take, none of the messages arrives. The summary has an error, the command exits with 0.
# Hurts: after the move calls of those who said no are recorded, kept and listened to, with no trace of what was; terms and evidence are hours off; a script goes on after
#   a table stayed empty.
# Instead: in the load file `cast type tinyint to smallint drop typemod` and `set PostgreSQL parameters timezone to 'UTC'` (tried: equal); look for ERROR in the output;
#   compare counts by value, not rows, on both sides.
set -euo pipefail
work=$(mktemp -d)
data="$work/data"
maria=""
trap 'stop; rm -rf "$work"' EXIT
stop() {
    [ -z "$maria" ] || { kill -9 "$maria" && wait "$maria"; } 2>/dev/null || true
    [ ! -f "$data/db/postmaster.pid" ] || "${user[@]}" "$server/pg_ctl" -D "$data/db" -m fast stop >/dev/null 2>&1 || true
}
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root data home
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    pgloader=3.6.9-1 freetds-dev libct4 libsybdb5 mariadb-server=1:10.11.19-0+deb12u1 mariadb-server-core mariadb-client-core \
    postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
base="$work/root/usr" server="$work/root/usr/lib/postgresql/15/bin"
export LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu" LC_ALL=C PGHOST="$data" HOME="$work/home" TZ=UTC
own=() user=()
[ "$(id -u)" != 0 ] || { own=(--user=root); chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
"$base/bin/mariadb-install-db" --no-defaults --basedir="$base" --datadir="$work/maria" --auth-root-authentication-method=normal --skip-test-db "${own[@]}" >install.log 2>&1 || { cat install.log >&2; exit 1; }
"$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/maria" --socket="$work/socket" --skip-networking \
    --lc-messages-dir="$base/share/mysql" "${own[@]}" >server.log 2>&1 &
maria=$!
"${user[@]}" "$server/initdb" --no-sync -D "$data/db" -U postgres -A trust >init.log 2>&1 || { cat init.log >&2; exit 1; }
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$data'" "jit = off" "timezone = 'UTC'" >>"$data/db/postgresql.conf"
"${user[@]}" "$server/pg_ctl" -D "$data/db" -l "$data/log" -w start >start.log 2>&1 || { cat start.log "$data/log" >&2; exit 1; }
my() { "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u root "$@"; }
ask() { PGTZ=UTC "$server/psql" -X -q -At -U postgres "$@"; }
for _ in $(seq 300); do my -e 'select 1' >/dev/null 2>&1 && break; sleep 0.3; done
my -e "select concat('MariaDB ', version()); create database desk"
ask -d postgres -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)"
"$base/bin/pgloader" --version | sed -n 1p
my desk <<'SQL'
create table calls (id int primary key, consent tinyint(1) not null default 0, at timestamp null);
insert into calls values (1, 0, '2026-07-01 12:00:00'), (2, 1, '2026-12-01 12:00:00'), (3, 2, '2026-10-25 00:30:00'), (4, -1, '2026-10-25 01:30:00');
create table messages (id int primary key, length time);
insert into messages values (1, '00:00:20'), (2, '30:00:00'), (3, '00:01:00');
SQL
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
move() { # what to call it, further lines of the load file
    local code=0
    ask -d postgres -c "drop database if exists moved" -c "create database moved" -c "alter database moved set timezone = 'Europe/Amsterdam'" 2>/dev/null
    { echo "load database from mysql://root@unix:$work/socket:3306/desk into postgresql://postgres@unix:$data:5432/moved"; printf '%s\n' "${@:2}"; echo ";"; } >moved.load
    "$base/bin/pgloader" moved.load >load.log 2>&1 || code=$?
    tell "$1" "exit $code, errors: $(grep -o 'ERROR.*' load.log | grep -c 'out of range' || true), $(ask -d moved -c "select count(*) from desk.messages") messages"
    tell "consents" "$(ask -d moved -c "select string_agg(consent::text, ', ' order by id) from desk.calls")"
    tell "instants" "$(ask -d moved -c "select string_agg(to_char(at, 'DD Mon HH24:MI'), ', ' order by id) from desk.calls")"
}
tell "in MariaDB" "$(my desk -e "select count(*) from messages") messages"
tell "consents" "$(my desk -e "select consent from calls order by id" | paste -sd ',' | sed 's/,/, /g')"
tell "instants" "$(my desk -e "set time_zone = '+00:00'; select date_format(at, '%d %b %H:%i') from calls order by id" | paste -sd ',' | sed 's/,/, /g')"
move "moved"
my desk -e "delete from messages where id = 2"
move "moved with casts and zone, without the long message" "set PostgreSQL parameters timezone to 'UTC'" "cast type tinyint to smallint drop typemod"
[ "$seen" = "in MariaDB: 3 messages
consents: 0, 1, 2, -1
instants: 01 Jul 12:00, 01 Dec 12:00, 25 Oct 00:30, 25 Oct 01:30
moved: exit 0, errors: 1, 0 messages
consents: false, true, true, true
instants: 01 Jul 10:00, 01 Dec 11:00, 24 Oct 22:30, 24 Oct 23:30
moved with casts and zone, without the long message: exit 0, errors: 0, 2 messages
consents: 0, 1, 2, -1
instants: 01 Jul 12:00, 01 Dec 12:00, 25 Oct 00:30, 25 Oct 01:30
" ] || changed "other values arrive"
echo "as described"

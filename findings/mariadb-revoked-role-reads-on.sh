#!/usr/bin/env bash
# Tool: MariaDB 10.11.19 (Debian 12): five agents are connected, as by a pool, and their right to read calls is taken by REVOKE: one has it by a role, one for the database, one for
#   all databases, one for the table, and one by a role that is dropped.
# Expected: rights are looked up for each statement, so that what was taken ends at once for all; so does PostgreSQL, but for SET ROLE.
# Happens: only the right to the table ends at once. Who was taken out of a role goes on with it: `current_role()` tells it, SHOW GRANTS no longer does, and a change
#   to another database and back does not end it. Who had the right for the database, or by the role that was dropped, reads on until they change to another
#   database and back; who had it for all databases, for as long as the connection lasts. FLUSH PRIVILEGES ends none of these. New connections are refused.
# Hurts: pools keep connections for hours or days: the person who was taken out of the role reads and deletes calls meanwhile, and a look at the grants, which
#   is what a review makes, shows that nobody can.
# Instead: after a REVOKE end the connections of the account (`kill user NAME`; tried), and let the pool renew its connections after minutes.
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
    mariadb-server=1:10.11.19-0+deb12u1 mariadb-server-core mariadb-client-core >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
base="$work/root/usr"
export LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu" LC_ALL=C
own=()
[ "$(id -u)" != 0 ] || own=(--user=root)
"$base/bin/mariadb-install-db" --no-defaults --basedir="$base" --datadir="$work/maria" --auth-root-authentication-method=normal --skip-test-db "${own[@]}" >install.log 2>&1 || { cat install.log >&2; exit 1; }
"$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/maria" --socket="$work/socket" --skip-networking \
    --lc-messages-dir="$base/share/mysql" "${own[@]}" >server.log 2>&1 &
maria=$!
client=("$base/bin/mariadb" --no-defaults --skip-column-names --batch --force --unbuffered -S "$work/socket")
my() { "${client[@]}" -u root "$@"; }
for _ in $(seq 300); do my -e 'select 1' >/dev/null 2>&1 && break; sleep 0.3; done
my -e "select concat('MariaDB ', version())"
my <<'SQL'
create database desk;
create database other;
create table desk.calls (note text);
insert into desk.calls values ('reads');
create table other.open (note text);
create role team;
create role hers;
create user by_role@localhost identified by 'example', by_database@localhost identified by 'example', by_all@localhost identified by 'example',
    by_table@localhost identified by 'example', by_dropped@localhost identified by 'example';
grant select on desk.* to team, hers, by_database@localhost;
grant select on *.* to by_all@localhost;
grant select on desk.calls to by_table@localhost;
grant select on other.* to by_role@localhost, by_database@localhost, by_table@localhost, by_dropped@localhost;
grant team to by_role@localhost;
grant hers to by_dropped@localhost;
set default role team for by_role@localhost;
set default role hers for by_dropped@localhost;
SQL
accounts="by_role by_database by_all by_table by_dropped"
declare -A line session
for account in $accounts; do
    mkfifo "$account.line"
    "${client[@]}" -u "$account" -pexample desk <"$account.line" >"$account.log" 2>&1 &
    session[$account]=$!
    exec {descriptor}>"$account.line"
    line[$account]=$descriptor
done
answer() { # the account, the statements before; what its open connection answers
    local lines
    lines=$(wc -l <"$1.log")
    echo "$2 select note from desk.calls; select 'end of answer';" >&"${line[$1]}"
    for _ in $(seq 100); do [ "$(tail -1 "$1.log")" != 'end of answer' ] || [ "$(wc -l <"$1.log")" = "$lines" ] || break; sleep 0.1; done
    tail -n "+$((lines + 1))" "$1.log" | grep -o '^reads$\|command denied\|Access denied' | tail -1
}
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
look() { tell "$1" "$(for account in $accounts; do echo "$account $(answer "$account" "${2:-}")"; done | paste -sd ',' | sed 's/,/, /g')"; }
look before
my -e "revoke team from by_role@localhost; revoke select on desk.* from by_database@localhost; revoke select on *.* from by_all@localhost; revoke select on desk.calls from by_table@localhost; drop role hers"
look "after the revoke"
my -e "flush privileges"
look "after flush privileges"
tell "the role of the open connection" "$(echo "select concat('role ', ifnull(current_role(), 'none'));" >&"${line[by_role]}"; sleep 1; tail -1 by_role.log), grants of it: $(my -e "show grants for by_role@localhost" | grep -c 'GRANT .team' || true)"
look "after a change of the database" "use information_schema; use desk;"
tell "new connections" "$(for account in $accounts; do "${client[@]}" -u "$account" -pexample -e "select note from desk.calls" 2>&1 | grep -o '^reads$\|command denied' | tail -1; done | sort | uniq -c | sed 's/^ *//')"
my -e "kill user by_role; kill user by_all"
tell "connections of the two after kill user" "$(my -e "select count(*) from information_schema.processlist where user in ('by_role', 'by_all') and command != 'Killed'")"
for account in $accounts; do { kill "${session[$account]}" && wait "${session[$account]}"; } 2>/dev/null || true; done
[ "$seen" = "before: by_role reads, by_database reads, by_all reads, by_table reads, by_dropped reads
after the revoke: by_role reads, by_database reads, by_all reads, by_table command denied, by_dropped reads
after flush privileges: by_role reads, by_database reads, by_all reads, by_table command denied, by_dropped reads
the role of the open connection: role team, grants of it: 0
after a change of the database: by_role reads, by_database command denied, by_all reads, by_table command denied, by_dropped command denied
new connections: 5 command denied
connections of the two after kill user: 0
" ] || changed "other connections read on"
echo "as described"

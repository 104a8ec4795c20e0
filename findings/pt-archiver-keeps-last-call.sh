#!/usr/bin/env bash
# Tool: pt-archiver 3.2.1 (Percona Toolkit) with MariaDB 10.11.19 (Debian 12): `--purge --where "at < now() - interval 30 day"` over the calls of three lines, each with a table
#   of its own; two have no calls any more, one of these counts its calls by AUTO_INCREMENT, the other by an identifier.
# Expected: each row that fits the condition is deleted.
# Happens: in a table with AUTO_INCREMENT the row with the greatest number is passed over, as servers before MySQL 8.0 could give its number anew after a restart: of a line
#   with no more calls the last one stays for ever, run by run. No message, exit 0;
#   `--statistics` counts the rows that were deleted. While there are newer calls, and in tables without AUTO_INCREMENT, nothing is passed over.
# Hurts: a closed line, a clinic that left, a campaign that is over: their tables hold the last caller's words for years beyond the period, while the job is green,
#   and a test with rows old and new passes.
# Instead: `--no-safe-auto-increment` (tried: nothing stays, and MariaDB keeps the counter over a restart); after each run count what the condition still
#   finds, and alert on one.
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
    percona-toolkit=3.2.1-1 libdbd-mysql-perl libdbi-perl libterm-readkey-perl libmariadb3 mariadb-server=1:10.11.19-0+deb12u1 mariadb-server-core mariadb-client-core >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
base="$work/root/usr"
export LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu" LC_ALL=C HOME="$work" PERL5LIB="$base/share/perl5:$base/lib/x86_64-linux-gnu/perl5/5.36"
own=()
[ "$(id -u)" != 0 ] || own=(--user=root)
"$base/bin/mariadb-install-db" --no-defaults --basedir="$base" --datadir="$work/maria" --auth-root-authentication-method=normal --skip-test-db "${own[@]}" >install.log 2>&1 || { cat install.log >&2; exit 1; }
serve() {
    "$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/maria" --socket="$work/socket" --skip-networking --lc-messages-dir="$base/share/mysql" "${own[@]}" >server.log 2>&1 &
    maria=$!
    for _ in $(seq 300); do my -e 'select 1' >/dev/null 2>&1 && break; sleep 0.3; done
}
my() { "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u root "$@"; }
serve
my -e "select concat('MariaDB ', version())"
/usr/bin/perl "$base/bin/pt-archiver" --version
my <<'SQL'
create database desk;
use desk;
create table busy (id int auto_increment primary key, at datetime not null, note text);
create table quiet like busy;
create table named (id varchar(20) primary key, at datetime not null, note text);
insert into busy (at, note) values (now() - interval 60 day, 'first'), (now() - interval 40 day, 'last of old'), (now(), 'new');
insert into quiet (at, note) values (now() - interval 60 day, 'first'), (now() - interval 40 day, 'last of old');
insert into named select concat('call-', id), at, note from quiet;
SQL
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
purge() { # the table, options
    local code=0
    /usr/bin/perl "$base/bin/pt-archiver" --source "h=localhost,S=$work/socket,u=root,D=desk,t=$1" --purge --where "at < now() - interval 30 day" --no-check-charset --statistics "${@:2}" >purge.log 2>&1 || code=$?
    echo "exit $code, $(sed -n 's/^DELETE //p' purge.log | grep . || echo 0) deleted, left: $(my -e "select ifnull(group_concat(note order by id), 'nothing') from desk.$1")"
}
for table in busy quiet named; do tell "$table" "$(purge $table)"; done
tell "quiet again" "$(purge quiet)"
tell "quiet without the precaution" "$(purge quiet --no-safe-auto-increment)"
my -e shutdown
wait "$maria" || true
serve
my -e "insert into desk.quiet (at, note) values (now(), 'new')"
tell "the next number after a restart" "$(my -e "select id from desk.quiet")"
[ "$seen" = "busy: exit 0, 2 deleted, left: new
quiet: exit 0, 1 deleted, left: last of old
named: exit 0, 2 deleted, left: nothing
quiet again: exit 0, 0 deleted, left: last of old
quiet without the precaution: exit 0, 1 deleted, left: nothing
the next number after a restart: 3
" ] || changed "other rows are left"
echo "as described"

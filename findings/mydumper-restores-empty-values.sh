#!/usr/bin/env bash
# Tools: mydumper and myloader 0.10.0 (Debian 12) with MariaDB 10.11.19: calls with an identifier of type UUID, an address of type INET6 or INET4, and two columns that
#   are INVISIBLE (left out of `select *`): what was consented to, with a default, and the day until which the call is kept.
# Expected: what is backed up and restored, each with exit 0 and without a warning, is equal row by row.
# Happens: - The files have the identifiers and addresses right; myloader reads them as binary (`SET NAMES binary`), which these types do not take from a text: all
#     are NULL afterwards, and where the column is NOT NULL all are 00000000-0000-0000-0000-000000000000 and 0.0.0.0.
#   - The invisible columns are not in the files: each restored row has their default. A consent that was withdrawn is given again, the day is NULL.
#     In a table that has a generated column, too, they are there.
# Hurts: all rows are there, so that a test of the restore by counting passes; no recording, hold or audit record finds its call again by the identifier, people who
#   said no count as if they had said yes, and nothing is due.
# Instead: dump such tables by mariadb-dump (tried: equal); or make the columns visible before, and put utf8mb4 in the place of binary in the first line of each file
#   before loading (tried: equal); compare `checksum table` of both sides after a restore.
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
"$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/maria" --socket="$work/socket" --skip-networking \
    --lc-messages-dir="$base/share/mysql" "${own[@]}" >server.log 2>&1 &
maria=$!
my() { "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u root "$@"; }
for _ in $(seq 300); do my -e 'select 1' >/dev/null 2>&1 && break; sleep 0.3; done
my -e "select concat('MariaDB ', version()); create database desk"
"$base/bin/mydumper" --version
my desk <<'SQL'
create table calls (n int primary key, id uuid, host inet6, consent varchar(10) invisible default 'given', keep_until date invisible);
insert into calls (n, id, host, consent, keep_until) values (1, '2d4b6c1a-0000-11f1-8000-000000000001', '2001:db8::1', 'withdrawn', '2046-12-01'),
    (2, '2d4b6c1a-0000-11f1-8000-000000000002', '2001:db8::2', 'withdrawn', '2046-12-01');
create table sure (n int primary key, id uuid not null, host inet4 not null);
insert into sure values (1, '2d4b6c1a-0000-11f1-8000-000000000001', '192.0.2.1'), (2, '2d4b6c1a-0000-11f1-8000-000000000002', '192.0.2.2');
create table generated like calls;
alter table generated add double_n int generated always as (n * 2) virtual;
insert into generated (n, consent, keep_until) values (1, 'withdrawn', '2046-12-01');
SQL
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
look() { # what to call it, the database
    tell "$1, calls" "$(my -e "select concat_ws(' ', n, ifnull(concat(id), 'NULL'), ifnull(concat(host), 'NULL'), consent, ifnull(keep_until, 'NULL')) from $2.calls order by n" | paste -sd ',' | sed 's/,/, /g')"
    tell "$1, NOT NULL" "$(my -e "select concat_ws(' ', n, id, host) from $2.sure order by n" | paste -sd ',' | sed 's/,/, /g')"
    tell "$1, with a generated column" "$(my -e "select concat_ws(' ', n, consent, ifnull(keep_until, 'NULL')) from $2.generated")"
}
mydumped() { # where to, whether the files are changed between
    local dumped=0 loaded=0
    rm -rf files
    "$base/bin/mydumper" -S "$work/socket" -u root -B desk -o files >dump.log 2>&1 || dumped=$?
    [ "$2" != changed ] || sed -i '1s/SET NAMES binary/SET NAMES utf8mb4/' files/*.sql
    "$base/bin/myloader" -S "$work/socket" -u root -d files -B "$1" >>dump.log 2>&1 || loaded=$?
    tell "mydumper exit $dumped, myloader exit $loaded, warnings" "$(grep -c . dump.log || true)"
}
look before desk
mydumped first as-is
tell "identifiers in the files" "$(grep -ho '2d4b6c1a-0000-11f1-8000-00000000000.' files/desk.calls.sql | wc -l)"
look "restored by myloader" first
"$base/bin/mariadb-dump" --no-defaults -S "$work/socket" -u root desk >desk.sql
my -e "create database second"
my second <desk.sql
look "restored from mariadb-dump" second
my desk -e "alter table calls modify consent varchar(10) default 'given', modify keep_until date"
mydumped third changed
look "visible, with utf8mb4" third
whole='1 2d4b6c1a-0000-11f1-8000-000000000001 2001:db8::1 withdrawn 2046-12-01, 2 2d4b6c1a-0000-11f1-8000-000000000002 2001:db8::2 withdrawn 2046-12-01'
sure='1 2d4b6c1a-0000-11f1-8000-000000000001 192.0.2.1, 2 2d4b6c1a-0000-11f1-8000-000000000002 192.0.2.2'
[ "$seen" = "before, calls: $whole
before, NOT NULL: $sure
before, with a generated column: 1 withdrawn 2046-12-01
mydumper exit 0, myloader exit 0, warnings: 0
identifiers in the files: 2
restored by myloader, calls: 1 NULL NULL given NULL, 2 NULL NULL given NULL
restored by myloader, NOT NULL: 1 00000000-0000-0000-0000-000000000000 0.0.0.0, 2 00000000-0000-0000-0000-000000000000 0.0.0.0
restored by myloader, with a generated column: 1 withdrawn 2046-12-01
restored from mariadb-dump, calls: $whole
restored from mariadb-dump, NOT NULL: $sure
restored from mariadb-dump, with a generated column: 1 withdrawn 2046-12-01
mydumper exit 0, myloader exit 0, warnings: 0
visible, with utf8mb4, calls: $whole
visible, with utf8mb4, NOT NULL: $sure
visible, with utf8mb4, with a generated column: 1 withdrawn 2046-12-01
" ] || changed "other values come back"
echo "as described"

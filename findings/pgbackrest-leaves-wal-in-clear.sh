#!/usr/bin/env bash
# Tool: pgBackRest 2.45 with PostgreSQL 15 (Debian 12): a repository that is encrypted (`repo1-cipher-type=aes-256-cbc`) and filled asynchronously (`archive-async=y`), of which a server
#   is restored to a point in time, before calls that must not come back.
# Expected: what is fetched ahead for the recovery is kept as it is in the repository, or deleted when the recovery has ended; the later calls are nowhere.
# Happens: up to 128 MB of WAL are fetched ahead, decrypted and written to the spool folder. The recovery ends before them and nobody takes or deletes them: the
#   records of after the point in time lie there in clear, for the group to read, after the server was opened, archived further and was restarted.
#   `pgbackrest info` and `check` do not tell of them. With `archive-async=n` in the setup the folder stays empty.
# Hurts: the spool folder (/var/spool/pgbackrest) is outside of the database's folder: on a disk that is not encrypted, in the image of the machine, in a backup of files.
#   Calls that were left out on purpose, or that are erased from the database later, stay readable there, although repository and
#   volume are encrypted; a drill leaves them on the machine of the drill.
# Instead: set `archive-async=n` until the recovery has ended (tried), or empty the folder `in` of the spool once the recovery has ended; put the spool on the encrypted
#   volume or in memory; search a restored machine for the text of a call that must not be on it.
set -euo pipefail
work=$(mktemp -d)
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root own/log own/repository own/spool
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    pgbackrest=2.45-1 postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
server="$work/root/usr/lib/postgresql/15/bin" own="$work/own"
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" LC_ALL=C
user=()
[ "$(id -u)" != 0 ] || { chown -R 65534:65534 own; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
stop() { [ ! -f "$own/db/postmaster.pid" ] || "${user[@]}" "$server/pg_ctl" -D "$own/db" -m fast stop >/dev/null 2>&1 || true; }
start() { "${user[@]}" "$server/pg_ctl" -D "$own/db" -l "$own/log/server" -w start >/dev/null 2>&1; }
ask() { "$server/psql" -h "$own" -U postgres -X -q -At -d postgres -c "$1"; }
rest() { "${user[@]}" "$work/root/usr/bin/pgbackrest" --config="$own/pgbackrest.conf" --stanza=db "$@"; }
printf '%s\n' '[global]' "repo1-path=$own/repository" repo1-cipher-type=aes-256-cbc repo1-cipher-pass=example archive-async=y "log-path=$own/log" "lock-path=$own/log" "spool-path=$own/spool" \
    log-level-console=error start-fast=y repo1-retention-full=9 '[db]' "pg1-path=$own/db" "pg1-socket-path=$own" pg1-user=postgres >own/pgbackrest.conf
"$server/postgres" --version
"$work/root/usr/bin/pgbackrest" version
archived() { for _ in $(seq 200); do [ "$(ask "select last_archived_wal >= '$1' from pg_stat_archiver")" != t ] || return 0; sleep 0.2; done; changed "nothing is archived"; }
next() { archived "$(ask "select pg_walfile_name(pg_switch_wal())")"; }

"${user[@]}" "$server/initdb" --no-sync -D "$own/db" -U postgres -A trust >init.log
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$own'" "jit = off" "fsync = off" "archive_mode = on" \
    "archive_command = '$work/root/usr/bin/pgbackrest --config=$own/pgbackrest.conf --stanza=db archive-push %p'" >>own/db/postgresql.conf
start
rest stanza-create
ask "create table calls (note text); insert into calls values ('of the morning')"
rest --type=full backup
ask "insert into calls values ('of noon')"
ask "select pg_create_restore_point('noon')" >/dev/null
next
for hour in 1 2 3; do
    ask "insert into calls values ('erased words $hour')"
    next
done
stop
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
holding() { { grep -rl 'erased words' "own/$1" || true; } | wc -l; }
restore() {
    "${user[@]}" rm -rf own/db own/spool
    "${user[@]}" mkdir own/spool
    "${user[@]}" mkdir -m 700 own/db
    rest --type=name --target=noon --target-action=promote restore
    start
    for _ in $(seq 100); do [ "$(ask 'select pg_is_in_recovery()')" = t ] || break; sleep 0.2; done
    sleep 2
}
tell "files with the erased words in the repository, in the spool" "$(holding repository), $(holding spool)"
restore
tell "restored" "$(ask "select string_agg(note, ', ') from calls")"
tell "files with the erased words in the spool" "$(holding spool)"
tell "their mode" "$(find own/spool -type f -size +1M -printf '%m\n' | sort -u)"
ask "insert into calls values ('of the afternoon')"
next
rest check
stop
start
tell "after archiving, a check and a restart" "$(holding spool)"
stop
sed -i 's/^archive-async=y/archive-async=n/' own/pgbackrest.conf
restore
tell "restored without archive-async" "$(ask "select string_agg(note, ', ') from calls")"
tell "files with the erased words in the spool" "$(holding spool)"
stop
[ "$seen" = "files with the erased words in the repository, in the spool: 0, 0
restored: of the morning, of noon
files with the erased words in the spool: 3
their mode: 640
after archiving, a check and a restart: 3
restored without archive-async: of the morning, of noon
files with the erased words in the spool: 0
" ] || changed "other files are left"
echo "as described"

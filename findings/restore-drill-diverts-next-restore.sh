#!/usr/bin/env bash
# Tools: PostgreSQL 15 with an archive of WAL by `cp` and with pgBackRest 2.45 (Debian 12): a backup is restored as a drill on a machine that is set up like
#   production, looked at and deleted; production runs on, is backed up again, and is then lost.
# Expected: a drill reads the archive and changes nothing; a restore afterwards brings production back up to its last archived record.
# Happens: the restored copy has production's archive command, and when it opens it begins a new timeline, which it writes to the archive: one file of history and a
#   bit of WAL. "Latest timeline" is what each restore follows unless told otherwise, and it is the drill's now. A restore of a backup from before the drill
#   ends at the drill, opens without error, and has nothing of the weeks since, though their WAL is there. A backup made after the drill does not start
#   at all ("requested timeline 2 is not a child of this server's history"). Backups, archiving and `pgbackrest check` go on with success.
# Hurts: the drill that proves the backup spoils it; calls, consents and audit records since are missing in a database that runs, and once it archives
#   in its turn the two histories are one archive.
# Instead: restore drills with `--archive-mode=off` (pgBackRest) or `archive_mode = off`, without the right to write to the archive (tried: the next restore
#   is whole); in an emergency restore with `--target-timeline=current` (recovery_target_timeline = 'current'; tried: all is back); look for files
#   `*.history` in the archive after each drill.
set -euo pipefail
work=$(mktemp -d)
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root own/log
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    pgbackrest=2.45-1 postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
server="$work/root/usr/lib/postgresql/15/bin" own="$work/own"
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" LC_ALL=C
user=()
[ "$(id -u)" != 0 ] || { chown -R 65534:65534 own; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
stop() { [ ! -f "$own/db/postmaster.pid" ] || "${user[@]}" "$server/pg_ctl" -D "$own/db" -m fast stop >/dev/null 2>&1 || true; }
start() { "${user[@]}" "$server/pg_ctl" -D "$own/db" -l "$own/log/$1" -w start >/dev/null 2>&1; }
ask() { "$server/psql" -h "$own" -U postgres -X -q -At -d postgres -c "$1"; }
rest() { "${user[@]}" "$work/root/usr/bin/pgbackrest" --config="$own/pgbackrest.conf" --stanza=db "$@"; }
printf '%s\n' '[global]' "repo1-path=$own/archive" "log-path=$own/log" "lock-path=$own/log" "spool-path=$own/log" log-level-console=error start-fast=y repo1-retention-full=9 \
    '[db]' "pg1-path=$own/db" "pg1-socket-path=$own" pg1-user=postgres >own/pgbackrest.conf
"$server/postgres" --version
"$work/root/usr/bin/pgbackrest" version

seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
backup() { # its name
    if [ "$tool" = pgBackRest ]; then rest --type=full backup && "${user[@]}" ln -s "$(find own/archive/backup/db -maxdepth 1 -name '*F' -printf '%f\n' | sort | tail -1)" "own/$1"
    else "${user[@]}" "$server/pg_basebackup" -h "$own" -U postgres -c fast -X none --no-manifest -D "$own/$1" 2>/dev/null; fi
}
restore() { # of which backup, options: "off" is without archiving, "current" is with the timeline of the backup
    "${user[@]}" rm -rf own/db
    if [ "$tool" = pgBackRest ]; then
        "${user[@]}" mkdir -m 700 own/db
        rest --set="$(readlink "own/$1")" $([ "$2" != off ] || echo --archive-mode=off) $([ "$2" != current ] || echo --type=default --target-timeline=current) restore
    else
        "${user[@]}" cp -a "own/$1" own/db
        "${user[@]}" touch own/db/recovery.signal
        { echo "restore_command = 'cp $own/archive/%f %p'"; [ "$2" != off ] || echo "archive_mode = off"; [ "$2" != current ] || echo "recovery_target_timeline = 'current'"; } >>own/db/postgresql.conf
    fi
    start restore.log || { sed -n 's/.*FATAL:  //p' own/log/restore.log | grep -o 'requested timeline.*' | tail -1; return; }
    for _ in $(seq 100); do [ "$(ask 'select pg_is_in_recovery()')" = t ] || break; sleep 0.2; done
    ask "select string_agg(note, ', ' order by at) from calls"
}
archived() { for _ in $(seq 100); do [ "$(ask "select last_archived_wal >= '$1' from pg_stat_archiver")" != t ] || return 0; sleep 0.2; done; changed "nothing is archived"; }
call() { ask "insert into calls values ('$1')" && archived "$(ask "select pg_walfile_name(pg_switch_wal())")"; }
story() { # the drill's option
    "${user[@]}" rm -rf own/archive own/db own/aside own/before own/after
    "${user[@]}" mkdir own/archive
    "${user[@]}" "$server/initdb" --no-sync -D "$own/db" -U postgres -A trust >init.log
    command="test ! -f $own/archive/%f && cp %p $own/archive/%f"
    [ "$tool" != pgBackRest ] || command="$work/root/usr/bin/pgbackrest --config=$own/pgbackrest.conf --stanza=db archive-push %p"
    printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$own'" "jit = off" "fsync = off" "archive_mode = on" "archive_command = '$command'" >>own/db/postgresql.conf
    start production.log
    [ "$tool" != pgBackRest ] || rest stanza-create
    ask "create table calls (note text, at timestamptz default clock_timestamp()); insert into calls values ('backed up')"
    backup before
    call "before the drill"
    # The drill is on a machine with the same folders; here production rests meanwhile.
    stop
    "${user[@]}" mv own/db own/aside
    tell "$tool: the drill" "$(restore before "$1")"
    stop
    "${user[@]}" rm -rf own/db
    "${user[@]}" mv own/aside own/db
    start production.log
    call "after the drill"
    backup after
    call "the last one"
    [ "$tool" != pgBackRest ] || rest check || tell "check" "fails"
    tell "$tool: files of history in the archive" "$(find own/archive -type f -name '*.history' | wc -l)"
    stop
}
for tool in cp pgBackRest; do
    # Each restore here is without archiving, so that none disturbs the next.
    story as-production
    tell "$tool: restored from before" "$(restore before off)"; stop
    tell "$tool: restored from after" "$(restore after off)"; stop
    tell "$tool: restored from before by its own timeline" "$(restore before current)"; stop
    story off
    tell "$tool: after a drill without archiving" "$(restore before off)"; stop
done
expected=""
for tool in cp pgBackRest; do
    expected+="$tool: the drill: backed up, before the drill
$tool: files of history in the archive: 1
$tool: restored from before: backed up, before the drill
$tool: restored from after: requested timeline 2 is not a child of this server's history
$tool: restored from before by its own timeline: backed up, before the drill, after the drill, the last one
$tool: the drill: backed up, before the drill
$tool: files of history in the archive: 0
$tool: after a drill without archiving: backed up, before the drill, after the drill, the last one
"
done
[ "$seen" = "$expected" ] || changed "another history is restored"
echo "as described"

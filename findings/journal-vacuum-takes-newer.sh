#!/usr/bin/env bash
# Tool: journalctl 252 (Debian 12), `--vacuum-time=30d` over 61 days of audit entries, one an hour, written by systemd-journal-remote 252 into files that have the names which
#   journald gives: two archived ones of a month each (the longest that journald fills one by default, MaxFileSec) and the one being written; one that was never
#   archived; archived ones of ten days.
# Expected: it deletes what is older than 30 days and leaves what is younger: 30 days of entries are there afterwards.
# Happens: a file is deleted whole, once its FIRST entry is older than that. The month that was archived an hour ago goes with all that it
#   has: of 720 entries of the last 30 days one is left; with files of ten days a third is lost. The file being written is not touched: where there is no
#   other, all 61 days stay. It tells how many bytes were freed, not of which days. (MaxRetentionSec of journald is documented in the same words.)
# Hurts: the evidence of who listened to which call, which has to be there for 30 days, is gone on the day a quiet month is archived; on the machine beside it
#   names of callers stay long after their term. Which of the two depends on how much was logged.
# Instead: a term of what must stay plus the length of a file, and short files (MaxFileSec=1day); `journalctl --rotate` before a vacuum; audit entries also
#   somewhere else; watch the age of the oldest entry, in both directions.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

chmod 755 .
apt-get download -q systemd libsystemd-shared libsystemd0 systemd-journal-remote libmicrohttpd12 >apt.log 2>&1 || { cat apt.log >&2; exit 1; }
for file in *.deb; do dpkg-deb -x "$file" root; done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu/systemd:$work/root/usr/lib/x86_64-linux-gnu"
journal=$work/root/bin/journalctl
"$journal" --version | head -n 1 | cut -d ' ' -f 1-3
now=$(date +%s)
fill() { # folder, number of the file or "active", hours from, hours to: an entry an hour, in a file named as journald does: number and time of its first entry
    local at first=$((now - $3 * 3600)) name=system
    mkdir -p "$1"
    for ((at = first; at < now - $4 * 3600; at += 3600)); do
        printf '__REALTIME_TIMESTAMP=%s000000\n__MONOTONIC_TIMESTAMP=%s000000\n_BOOT_ID=0123456789abcdef0123456789abcdef\nSYSLOG_IDENTIFIER=player\nMESSAGE=agent heard recording %s\n\n' "$at" "$at" "$at"
    done >entries
    [ "$2" = active ] || name=$(printf 'system@%032x-%016x-%016x' 1 "$2" "$((first * 1000000))")
    root/lib/systemd/systemd-journal-remote --output="$1/$name.journal" entries >>remote.log 2>&1 || { cat remote.log >&2; exit 1; }
}
tell() { echo "$1: $("$journal" -D "$1" --until "@$((now - 30 * 86400 - 1))" -o cat | grep -c heard) entries older than 30 days, $("$journal" -D "$1" --since "@$((now - 30 * 86400))" -o cat | grep -c heard) younger"; }

fill months 1 1461 731 # a month is 30.4 days
fill months 2 731 1
fill months active 1 0
fill one-file active 1461 0
fill ten-days 1 961 721
fill ten-days 2 721 481
fill ten-days active 481 0
seen=$(for folder in months one-file ten-days; do
    tell "$folder"
    "$journal" -D "$folder" --vacuum-time=30d 2>>vacuum.log
    echo "after --vacuum-time=30d, $(tell "$folder")"
done)
echo "$seen"
[ "$seen" = "months: 741 entries older than 30 days, 720 younger
after --vacuum-time=30d, months: 0 entries older than 30 days, 1 younger
one-file: 741 entries older than 30 days, 720 younger
after --vacuum-time=30d, one-file: 741 entries older than 30 days, 720 younger
ten-days: 241 entries older than 30 days, 720 younger
after --vacuum-time=30d, ten-days: 0 entries older than 30 days, 481 younger" ] || changed "other entries are deleted"
echo "as described"

#!/usr/bin/env bash
# Tool: systemd 252 (Debian 12): the times of `OnCalendar=`, as `systemd-analyze calendar` computes them like a timer: each from the one before.
# Expected: a timer for each 20 minutes or each hour runs as often on the day when clocks go back; a daily one at 02:30 runs once on the day when that time is left
#   out, at 03:00 or 03:30.
# Happens: in a zone with summer time (that of the machine, or one named in the line) nothing runs in the second of the two equal hours: `*:00/20` pauses for
#   80 minutes in Amsterdam, `hourly` for two hours. When clocks go forward, 02:30 does not run on that day, and the time between two runs is 47 hours; in
#   Cairo it is midnight (`daily`) that does not run.
# Hurts: logs and recordings that are shipped, erasures, revocation lists and certificates that are renewed each few minutes wait for over an hour, once a year, at
#   night; what has to be backed up or erased "within 24 hours" is not.
# Instead: name UTC in the line (`*-*-* 02:30 UTC`; tried: each day, each 20 minutes), and let what ends by itself be renewed more than two hours before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    systemd=252.39-1~deb12u2 libsystemd-shared libsystemd0 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
export LC_ALL=C LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu/systemd:$work/root/lib/x86_64-linux-gnu/systemd:$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu"
analyze=$(find root -path '*/bin/systemd-analyze' | head -1)
"$analyze" --version | sed -n 1p
seen=""
gap() { # the zone of the machine, the line, the time before, how many runs; the longest time between two, in minutes
    local last=0 most=0 when moment
    while read -r when; do
        moment=$(date -d "$when" +%s)
        if [ "$last" != 0 ] && [ $((moment - last)) -gt "$most" ]; then most=$((moment - last)); fi
        last=$moment
    done < <(TZ=$1 "$analyze" calendar --base-time="$3" --iterations="$4" "$2" | if [ "$1" = UTC ]; then sed -n 's/.*\(Next elapse\|Iter. #[0-9]*\): //p'; else sed -n 's/.*(in UTC): //p'; fi)
    echo "$1, $2, from $3: up to $((most / 60)) minutes"
    seen+="$1, $2, from $3: up to $((most / 60)) minutes"$'\n'
}
gap Europe/Amsterdam '*:00/20' '2026-10-24 20:00:00 UTC' 30
gap Europe/Amsterdam hourly '2026-10-24 20:00:00 UTC' 12
gap UTC '*:00/20 Europe/Amsterdam' '2026-10-24 20:00:00 UTC' 30
gap UTC '*:00/20' '2026-10-24 20:00:00 UTC' 30
gap Europe/Amsterdam '*:00/20 UTC' '2026-10-24 20:00:00 UTC' 30
gap Europe/Amsterdam '*-*-* 02:30' '2026-03-26 20:00:00 UTC' 6
gap Africa/Cairo daily '2026-04-20 20:00:00 UTC' 8
gap Europe/Amsterdam '*-*-* 02:30 UTC' '2026-03-26 20:00:00 UTC' 6
[ "$seen" = "Europe/Amsterdam, *:00/20, from 2026-10-24 20:00:00 UTC: up to 80 minutes
Europe/Amsterdam, hourly, from 2026-10-24 20:00:00 UTC: up to 120 minutes
UTC, *:00/20 Europe/Amsterdam, from 2026-10-24 20:00:00 UTC: up to 80 minutes
UTC, *:00/20, from 2026-10-24 20:00:00 UTC: up to 20 minutes
Europe/Amsterdam, *:00/20 UTC, from 2026-10-24 20:00:00 UTC: up to 20 minutes
Europe/Amsterdam, *-*-* 02:30, from 2026-03-26 20:00:00 UTC: up to 2820 minutes
Africa/Cairo, daily, from 2026-04-20 20:00:00 UTC: up to 2820 minutes
Europe/Amsterdam, *-*-* 02:30 UTC, from 2026-03-26 20:00:00 UTC: up to 1440 minutes
" ] || changed "other times are left out"
echo "as described"

#!/usr/bin/env bash
# Tools: restic 0.19.1 and borg 1.2.4 (Debian 12): backups of a host whose clock was five years ahead for three nights and is right again, with a retention
#   applied after each backup.
# Expected: the last backup is kept in any case, or the rule counts from today; what is dated ahead is reported.
# Happens: with "keep the last three" both delete each new backup right after it was made, for the next five years: the three of the
#   wrong nights are the last ones. All end with success. `keep-within 30d` keeps the right ones, and those of the future.
# Hurts: a host starts once without its battery or time server, and years later there is no backup but of those three; each night's job
#   reports a backup and a retention that worked, and a monitor that asks for the date of the newest backup is content until 2031.
# Instead: let the job refuse to run while a backup is dated after now (`restic snapshots --json`, `borg list --json`); delete such ones by name, or date them anew;
#   after each retention check that the backup just made is there; `keep-within` beside the rules that count.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work/bin" go install github.com/restic/restic/cmd/restic@v0.19.1 2>go.log || { cat go.log >&2; exit 1; }
mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    borgbackup=1.2.4-1 python3-msgpack python3-packaging libxxhash0 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/borgbackup_*.deb debs/python3-msgpack_*.deb debs/python3-packaging_*.deb debs/libxxhash0_*.deb; do dpkg -x "$package" root; done
export TZ=UTC HOME="$work" RESTIC_PASSWORD=example RESTIC_CACHE_DIR="$work/cache" BORG_PASSPHRASE=example
borg() { LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" PYTHONPATH="$work/root/usr/lib/python3/dist-packages" python3 "$work/root/usr/bin/borg" "$@"; }
bin/restic version | cut -d ' ' -f 1,2
borg --version
mkdir source
echo recording >source/call

case_of() { # the number of wrong nights, the rule
    local name="$1-${2// /}" night day
    export RESTIC_REPOSITORY="$work/restic-$name" BORG_REPO="$work/borg-$name"
    bin/restic init --quiet
    borg init --encryption repokey 2>/dev/null
    for night in $(seq "$1"); do
        bin/restic backup --quiet --host desk --time "2031-01-0$night 03:00:00" source
        borg create --timestamp "2031-01-0${night}T03:00:00" "::wrong-$night" source
    done
    for night in 2 1; do
        day=$(date -d "$night days ago" +%F)
        bin/restic backup --quiet --host desk --time "$day 03:00:00" source
        bin/restic forget --quiet --$2 >/dev/null
        borg create --timestamp "${day}T03:00:00" "::right-$night" source
        borg prune "--${2/ /=}"
    done
    echo "$1 wrong nights, $2: restic has $(bin/restic snapshots --json | python3 -c 'import json, sys; times = [one["time"][:4] for one in json.load(sys.stdin)]
print(times.count("2031"), "wrong and", len(times) - times.count("2031"), "of the 2 right ones")'), borg $(borg list --short | grep -c wrong) and $(borg list --short | grep -c right || true)"
}
{
    case_of 3 "keep-last 3"
    case_of 1 "keep-within 30d"
} >seen
cat seen
[ "$(cat seen)" = "3 wrong nights, keep-last 3: restic has 3 wrong and 0 of the 2 right ones, borg 3 and 0
1 wrong nights, keep-within 30d: restic has 1 wrong and 2 of the 2 right ones, borg 1 and 2" ] || changed "other backups are kept"
echo "as described"

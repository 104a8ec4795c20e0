#!/usr/bin/env bash
# Tools: restic 0.19.1, borg 1.2.4 (Debian 12), twelve daily backups made by jobs in pods, with "keep three daily ones".
# Expected: three days of each source stay, the others are removed, as with the same rule on a server.
# Happens: restic applies the rule to each pair of host and path by itself, and the host of a backup in Kubernetes is the name of the
#   pod, new with each run of a CronJob: twelve hosts have one backup each, and all twelve are kept, by `keep-within` too. borg does the
#   reverse with two jobs that share a repository: of all archives of a day it keeps the last, so that the other source has none left.
# Hurts: a retention of 3 days keeps everything for ever, "forget" ends with success each night; with borg the database of which the backup
#   runs an hour before the recordings' is in no backup that is older than the rule's last run.
# Instead: `restic backup --host NAME` with a name that stays, and `forget --group-by paths` (or tags) for what is there already; `borg prune
#   --glob-archives 'database-*'` for each source; compare the number of snapshots with the rule's after each run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work/bin" go install github.com/restic/restic/cmd/restic@v0.19.1 2>go.log || { cat go.log >&2; exit 1; }
mkdir -p debs/partial root source
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    borgbackup=1.2.4-1 python3-msgpack python3-packaging libxxhash0 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/borgbackup_*.deb debs/python3-msgpack_*.deb debs/python3-packaging_*.deb debs/libxxhash0_*.deb; do dpkg -x "$package" root; done
echo text >source/file
export TZ=UTC HOME="$work" RESTIC_REPOSITORY="$work/restic" RESTIC_PASSWORD=example RESTIC_CACHE_DIR="$work/cache" BORG_REPO="$work/borg" BORG_PASSPHRASE=example
borg() { LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" PYTHONPATH="$work/root/usr/lib/python3/dist-packages" python3 "$work/root/usr/bin/borg" "$@"; }
bin/restic version | cut -d ' ' -f 1,2
borg --version
bin/restic init --quiet
borg init --encryption repokey 2>/dev/null
for day in $(seq -w 1 12); do
    bin/restic backup --quiet --host "backup-29$day-$(printf '%05x' $((10#$day * 77777)))" --time "2026-03-$day 03:00:00" source
    borg create --timestamp "2026-03-${day}T03:00:00" "::database-$day" source
    borg create --timestamp "2026-03-${day}T04:00:00" "::recordings-$day" source
done
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
restic_keeps() { bin/restic forget --dry-run --json "$@" | python3 -c 'import json, sys; print(sum(len(group["keep"] or []) for group in json.load(sys.stdin)), "of 12")'; }
borg_keeps() { borg prune --dry-run --list --keep-daily 3 "$@" 2>&1 | sed -n 's/^Keeping archive .*: *\([a-z]*-[0-9]*\) .*/\1/p' | sort | xargs; }
tell "restic, keep-daily 3" "$(restic_keeps --keep-daily 3)"
tell "restic, keep-within 3d" "$(restic_keeps --keep-within 3d)"
tell "restic, keep-daily 3, by paths" "$(restic_keeps --keep-daily 3 --group-by paths)"
tell "borg, keep-daily 3" "$(borg_keeps)"
tell "borg, keep-daily 3, of database-*" "$(borg_keeps --glob-archives 'database-*')"
[ "${seen%$'\n'}" = "restic, keep-daily 3: 12 of 12
restic, keep-within 3d: 12 of 12
restic, keep-daily 3, by paths: 3 of 12
borg, keep-daily 3: recordings-10 recordings-11 recordings-12
borg, keep-daily 3, of database-*: database-10 database-11 database-12" ] || changed "other backups are kept"
echo "as described"

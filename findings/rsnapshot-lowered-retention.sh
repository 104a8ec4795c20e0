#!/usr/bin/env bash
# Tool: rsnapshot 1.4.5 (Debian 12): daily copies of a folder of recordings; after a week `retain daily 7` becomes `retain daily 3`, and later the level gets another name.
# Expected: the copies that are too many are deleted by the next run; those of a level that is no longer named too, or a warning tells of them.
# Happens: each run moves and deletes the copies of the numbers that it counts, 0 to 2. daily.3 to daily.6 are not looked at any more: they stay as they are,
#   with what was erased from the folder long since, also after twenty more runs. A level with another name leaves all of its copies. `rsnapshot configtest` and each run succeed.
# Hurts: a period is lowered because data must go earlier; it goes earlier from then on, and what there is stays for ever, as files that everybody who reads
#   the backup can open; links make it cost no space that anybody would notice.
# Instead: delete the copies over the number by hand when it is lowered, and those of old names; alert on folders in `snapshot_root` that no `retain` line covers,
#   and on the age of the oldest one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root calls
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    rsnapshot=1.4.5-1 liblchown-perl rsync libpopt0 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
export HOME="$work" LC_ALL=C LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" PERL5LIB="$work/root/usr/share/perl5:$work/root/usr/lib/x86_64-linux-gnu/perl5/5.36"
rsnapshot() { /usr/bin/perl "$work/root/usr/bin/rsnapshot" -c rsnapshot.conf "$@" >>run.log 2>&1 || { cat run.log >&2; changed "rsnapshot $1 fails"; }; }
retain() { # level and number, by pairs
    printf '%s\t%s\n' config_version 1.2 snapshot_root "$work/copies/" cmd_rsync "$work/root/usr/bin/rsync" cmd_cp /bin/cp cmd_rm /bin/rm lockfile "$work/lock" >rsnapshot.conf
    printf 'retain\t%s\t%s\n' "$@" >>rsnapshot.conf
    printf 'backup\t%s\tdesk/\n' "$work/calls/" >>rsnapshot.conf
    rsnapshot configtest
}
days() { for _ in $(seq "$1"); do rsnapshot "$2"; done; }
/usr/bin/perl root/usr/bin/rsnapshot --version | grep -o 'rsnapshot [0-9.]*' | head -1
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
look() { tell "$1" "$(cd copies && printf '%s ' * )with the erased call: $(find copies -name erased.wav -printf '%P\n' | cut -d / -f 1 | sort | paste -sd ' ')"; }
echo "spoken" >calls/kept.wav
echo "spoken" >calls/erased.wav
retain daily 7
days 8 daily
rm calls/erased.wav
retain daily 3
days 20 daily
look "20 days after 7 became 3"
retain nightly 3
days 20 nightly
look "20 nights after the level was renamed"
tell "warnings" "$(grep -ci 'warn\|daily\.' run.log || true)"
[ "$seen" = "20 days after 7 became 3: daily.0 daily.1 daily.2 daily.3 daily.4 daily.5 daily.6 with the erased call: daily.3 daily.4 daily.5 daily.6
20 nights after the level was renamed: daily.0 daily.1 daily.2 daily.3 daily.4 daily.5 daily.6 nightly.0 nightly.1 nightly.2 with the erased call: daily.3 daily.4 daily.5 daily.6
warnings: 0
" ] || changed "other copies are left"
echo "as described"

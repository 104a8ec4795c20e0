#!/usr/bin/env bash
# Tools: GNU cpio 2.13, bsdcpio 3.6.2 and BusyBox' cpio 1.35, beside pax, GNU tar 1.34, bsdtar and BusyBox' tar (Debian 12): a folder of recordings is restored over itself after
#   one recording was cut to nothing, one overwritten by a program that failed (its time put back), and one lost.
# Expected: what is in the archive is in the folder afterwards, or the command fails.
# Happens: the three cpio bring back the lost recording only. A file that is there and is newer than that of the archive, or as old, is left as it is: broken
#   files are newer. bsdcpio says nothing, the other two print a line; all exit with 0. pax and the tars restore all three.
# Hurts: after damage by a program, a disk or malware the restore is done with success and the damaged recordings stay, which is found when one is asked for; a check by names,
#   or into an empty folder, passes.
# Instead: `cpio -idmu` (tried: all three are back), or restore into an empty folder and compare; check sums against a list that is kept apart.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root calls
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    cpio=2.13+dfsg-7.1 libarchive-tools busybox pax libarchive13 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" LC_ALL=C TZ=UTC
gnu="$work/root/bin/cpio" bsd="$work/root/usr/bin" busy="$work/root/bin/busybox"
pax=$(find root -path '*/bin/pax' | head -1)
"$gnu" --version | sed -n 1p
"$bsd/bsdcpio" --version
"$busy" 2>&1 | sed -n '1s/ (.*//p'
tar --version | sed -n 1p
record() { # the folder
    rm -rf "$1" && mkdir "$1"
    for name in cut overwritten lost; do echo "speech" >"$1/$name"; done
    touch -d '2026-11-01 12:00' "$1"/*
}
record calls
(cd calls && find . -type f | sort | "$gnu" -o -H newc 2>/dev/null >../calls.cpio && tar -cf ../calls.tar .)
seen=""
restore() { # what to call it, the archive, the command
    local code=0
    record now
    : >now/cut
    echo "noise!" >now/overwritten
    touch -d '2026-11-01 12:00' now/overwritten
    rm now/lost
    (cd now && "${@:3}" <"../$2") >run.log 2>&1 || code=$?
    line="$1: exit $code, restored: $(for name in cut overwritten lost; do cmp -s "now/$name" "calls/$name" && echo "$name" || true; done | paste -sd ' '), named in a message: $(grep -c 'cut\|overwritten' run.log || true)"
    echo "$line"
    seen+="$line"$'\n'
}
restore "GNU cpio -idm" calls.cpio "$gnu" -idm
restore "bsdcpio -idm" calls.cpio "$bsd/bsdcpio" -idm
restore "BusyBox cpio -idm" calls.cpio "$busy" cpio -idm
restore "pax -r" calls.cpio "$work/$pax" -r
restore "GNU tar -x" calls.tar tar -xf -
restore "bsdtar -x" calls.tar "$bsd/bsdtar" -xf -
restore "BusyBox tar -x" calls.tar "$busy" tar -xf -
restore "GNU cpio -idmu" calls.cpio "$gnu" -idmu
restore "bsdcpio -idmu" calls.cpio "$bsd/bsdcpio" -idmu
restore "BusyBox cpio -idmu" calls.cpio "$busy" cpio -idmu
all="exit 0, restored: cut overwritten lost, named in a message: 0"
[ "$seen" = "GNU cpio -idm: exit 0, restored: lost, named in a message: 2
bsdcpio -idm: exit 0, restored: lost, named in a message: 0
BusyBox cpio -idm: exit 0, restored: lost, named in a message: 2
pax -r: $all
GNU tar -x: $all
bsdtar -x: $all
BusyBox tar -x: $all
GNU cpio -idmu: $all
bsdcpio -idmu: $all
BusyBox cpio -idmu: $all
" ] || changed "other files are restored"
echo "as described"

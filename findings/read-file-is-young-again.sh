#!/usr/bin/env bash
# Tools: systemd-tmpfiles 252 and tmpreaper 1.6.17 (Debian 12), beside find; recordings that are to be deleted by their age, here of 4 seconds.
# Expected: what was recorded longer ago than the age is deleted.
# Happens: systemd-tmpfiles takes the newest of the times of the last access, of the content and of the inode, so that a recording that was played,
#   read by a backup, or whose owner, mode, ACL or name was changed begins anew. tmpreaper goes by the last access alone: what is read
#   is not deleted. (With `relatime`, the usual option, a file that is read every day has its time of access renewed every day.) find
#   -mtime goes by the content.
# Hurts: a nightly backup, virus scan or checksum of the folder is enough to keep all recordings for ever, without an error; a `chown -R` or a restore
#   begins the retention of the whole archive anew. With `noatime`, or after a snapshot was read instead, the same line deletes on time.
# Instead: in tmpfiles.d name the time that counts before the age (`m:30d`, systemd 250 and later), for tmpreaper `--mtime`; count the
#   files that are older than the age after each run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    tmpreaper=1.6.17 systemd=252.39-1~deb12u2 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/tmpreaper_*.deb debs/systemd_*.deb debs/libsystemd*.deb; do [ ! -f "$package" ] || dpkg -x "$package" root; done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu/systemd:$work/root/usr/lib/x86_64-linux-gnu/systemd"
tmpfiles=$(find root -name systemd-tmpfiles -type f)
"$tmpfiles" --version | cut -d ' ' -f 1,2 | head -n 1
echo "tmpreaper 1.6.17"
folders=(all content reaper reaper-mtime find)
mkdir "${folders[@]}"
for folder in "${folders[@]}"; do for name in left played renamed moded; do echo speech >"$folder/$name.wav"; done; done
sleep 5
for folder in "${folders[@]}"; do
    cat "$folder/played.wav" >/dev/null
    [ "$(stat -c %X "$folder/played.wav")" != "$(stat -c %Y "$folder/played.wav")" ] || { echo "no times of access here (noatime?)" >&2; exit 1; }
    mv "$folder/renamed.wav" "$folder/renamed-.wav"
    chmod 600 "$folder/moded.wav"
done
clean() {
    echo "d $work/$1 - - - $2" >tmpfiles.conf
    "$tmpfiles" --clean "$work/tmpfiles.conf"
}
clean all 4s
clean content m:4s
root/usr/sbin/tmpreaper 4s "$work/reaper"
root/usr/sbin/tmpreaper --mtime 4s "$work/reaper-mtime"
find find -type f -not -newermt '4 seconds ago' -delete
left() { echo "$1: left $(cd "$2" && ls | xargs | grep . || echo none)"; }
seen=$(left "tmpfiles.d, 4s" all; left "tmpfiles.d, m:4s" content; left "tmpreaper 4s" reaper; left "tmpreaper --mtime 4s" reaper-mtime; left "find by mtime" find)
echo "$seen"
[ "$seen" = "tmpfiles.d, 4s: left moded.wav played.wav renamed-.wav
tmpfiles.d, m:4s: left none
tmpreaper 4s: left played.wav
tmpreaper --mtime 4s: left none
find by mtime: left none" ] || changed "other files are left"
echo "as described"

#!/usr/bin/env bash
# Tools: duplicity 0.8.22 and borg 1.2.4 (Debian 12), each with a passphrase; a file with a patient's name in its own name is backed up.
# Expected: an encrypted backup leaves nothing readable but the files themselves; when the backup is destroyed nothing is left that tells of it.
# Happens: what lies on the server is encrypted. Beside it, in ~/.cache/duplicity, the manifest and the signatures of all files lie in clear: names,
#   dates, sizes, owners, and checksums of each block, by which anyone can prove that a certain recording was in the backup. The files are readable
#   for everybody. When the whole backup is gone from the server they stay until the next run, and for ever if there is none. The cache of
#   borg has no name in it.
# Hurts: the cache, kept on a volume so that each job need not fetch it, is no backup in anybody's list: the names of erased recordings outlive
#   the keys of the backup there; it is copied with the home directory.
# Instead: --archive-dir on a memory volume (duplicity fetches it again), or on one that is encrypted and erased with the backup; no names in file names.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root recordings
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    duplicity=0.8.22-1+b3 librsync2 libb2-1 python3-fasteners python3-future python3-lockfile python3-monotonic \
    borgbackup=1.2.4-1 python3-msgpack python3-packaging libxxhash0 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for name in duplicity librsync2 libb2-1 python3-fasteners python3-future python3-lockfile python3-monotonic borgbackup python3-msgpack python3-packaging libxxhash0; do
    dpkg -x debs/"$name"_*.deb root
done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" PYTHONPATH="$work/root/usr/lib/python3/dist-packages" HOME="$work/home" PASSPHRASE=example BORG_PASSPHRASE=example
mkdir -m 700 "$HOME"
umask 022
run() { python3 "$work/root/usr/bin/$1" "${@:2}"; }
head -c 100000 /dev/urandom >recordings/Zyxwvut-2026-11-29.wav
run duplicity --version
run borg --version
run duplicity full recordings "file://$work/on-server" >duplicity.log 2>&1 || { cat duplicity.log >&2; exit 1; }
run borg init --encryption repokey on-server-borg 2>/dev/null
run borg create on-server-borg::one recordings
names() { # files of a folder that have the name in clear, compressed or not
    local file count=0
    while read -r file; do
        if grep -qa Zyxwvut "$file" || { gzip -dc <"$file" 2>/dev/null || true; } | grep -qa Zyxwvut; then count=$((count + 1)); fi
    done < <(find "$1" -type f)
    echo "$count"
}
cache=$(echo "$HOME"/.cache/duplicity/*)
seen="duplicity: files with the name on the server $(names on-server), in the cache $(names "$cache"), of them readable for everybody $(find "$cache" -type f -perm -o+r | wc -l)
duplicity, signature of the recording: $(gzip -dc "$cache"/*.sigtar.gz | tar -xOf - signature/Zyxwvut-2026-11-29.wav | wc -c) bytes
borg: files with the name on the server $(names on-server-borg), in the cache $(names "$HOME/.cache/borg")"
rm -r on-server
seen+="
duplicity, gone from the server: in the cache $(names "$cache")"
echo "$seen"
[ "$seen" = "duplicity: files with the name on the server 0, in the cache 2, of them readable for everybody 2
duplicity, signature of the recording: 2364 bytes
borg: files with the name on the server 0, in the cache 0
duplicity, gone from the server: in the cache 2" ] || changed "other files hold the name"
echo "as described"

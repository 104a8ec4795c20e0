#!/usr/bin/env bash
# Tools: rsync 3.5.0, rsnapshot 1.4.5, rdiff-backup 2.2.2, duplicity 0.8.22, rclone 1.60.1, beside borg 1.2.4 and GNU tar 1.34 with a list of what it has (Debian 12).
#   A recording (WAV) of which five seconds are overwritten with silence, as before; then its time of change is put back, as the age of recordings counts from it.
# Expected: the next backup has the redacted recording.
# Happens: silence is as long as speech, so that the size is the same, too; and size and time are all that rsync, rsnapshot, rdiff-backup, duplicity and rclone
#   look at. Their next backup, and each one after it, has the recording with the words, reports success, and is what comes back from a restore.
#   borg and tar see the inode's time (ctime), which nobody can put back, and take it.
# Hurts: the card number is gone where it is looked for, and stays in the mirror and in all backups to come, not only in those that are already there; after the
#   next restore it is back in the recording itself, whose time and size say that nothing happened.
# Instead: keep the date of the call elsewhere than in the file's time, and let the time of change be that of the redaction (tried: one second more is enough for
#   all); or run rsync and rclone with `--checksum`; compare a sum of the file with the backup after each redaction.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root calls
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    rsync=3.5.0+ds1-0+deb12u1 rsnapshot=1.4.5-1 liblchown-perl rdiff-backup=2.2.2-1 duplicity=0.8.22-1+b3 rclone=1.60.1+dfsg-2+b5 borgbackup=1.2.4-1 \
    libb2-1 libpopt0 librsync2 python3-fasteners python3-future python3-monotonic python3-msgpack python3-packaging >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
bin="$work/root/usr/bin"
export HOME="$work" PYTHONPATH="$work/root/usr/lib/python3/dist-packages" LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" PATH="$bin:$PATH"
export PERL5LIB="$work/root/usr/share/perl5" BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
printf '%s\t%s\n' config_version 1.2 snapshot_root "$work/rsnapshot/" cmd_rsync "$bin/rsync" cmd_cp /bin/cp cmd_rm /bin/rm lockfile "$work/lock" >rsnapshot.conf
printf '%s\t%s\t%s\n' retain daily 3 backup "$work/calls/" desk/ >>rsnapshot.conf
cat >call.py <<'PY'
import math, os, struct, sys, wave
path = "calls/call.wav"
if sys.argv[1] == "record":
    with wave.open(path, "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
        file.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(n / 5))) for n in range(80000)))
    os.utime(path, (1790000000, 1790000000))
elif sys.argv[1] == "redact":
    was = os.stat(path)
    with wave.open(path, "rb") as file:
        form, frames = file.getparams(), bytearray(file.readframes(80000))
    frames[2 * 16000:2 * 56000] = bytes(2 * 40000)
    with wave.open(path, "wb") as file:
        file.setparams(form)
        file.writeframes(bytes(frames))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
else:
    os.utime(path, (1790000001, 1790000001))
PY
run() { "$@" >run.log 2>&1 || { cat run.log >&2; changed "$(basename "$1") $2 fails"; }; }
python() { run /usr/bin/python3 "$bin/$1" "${@:2}"; }
number=0
back_up() {
    number=$((number + 1))
    run rsync -a calls/ rsync/
    run /usr/bin/perl "$bin/rsnapshot" -c rsnapshot.conf daily
    python rdiff-backup calls rdiff
    python duplicity --no-encryption calls "file://$work/duplicity"
    run rclone sync calls rclone
    python borg create "borg::$number" calls
    run tar --create --listed-incremental=list --file="$number.tar" calls
    sleep 2
}
restored() {
    rm -rf out && mkdir out
    python rdiff-backup --restore-as-of now rdiff out/rdiff-backup
    python duplicity restore --no-encryption "file://$work/duplicity" out/duplicity
    (cd out && /usr/bin/python3 "$bin/borg" extract "$work/borg::$number" && mv calls borg && for n in $(seq "$number"); do tar --extract --listed-incremental=/dev/null --file="../$n.tar"; done && mv calls tar)
    cp -a rsync out/rsync && cp -a rclone out/rclone && cp -a "$(dirname "$(find rsnapshot/daily.0 -name call.wav)")" out/rsnapshot
    for name in rsync rsnapshot rdiff-backup duplicity rclone borg tar; do echo "$name $(cmp -s "out/$name/call.wav" calls/call.wav && echo redacted || echo "has the words")"; done | paste -sd ',' | sed 's/,/, /g'
}
rsync --version | sed -n 1s/protocol.*//p
rclone version | sed -n 1p
for name in rdiff-backup duplicity borg; do /usr/bin/python3 "$bin/$name" --version 2>/dev/null; done
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
python borg init -e none borg
python3 call.py record
sleep 1.1
back_up
python3 call.py redact
sleep 1.1
back_up
tell "the backup after the redaction" "$(restored)"
touch calls/other.wav
back_up
tell "the one after that" "$(restored)"
run rsync -a --checksum calls/ rsync/
run rclone sync --checksum calls rclone
tell "with --checksum" "$(restored)"
python3 call.py touch
back_up
tell "changed a second later" "$(restored)"
[ "$seen" = "the backup after the redaction: rsync has the words, rsnapshot has the words, rdiff-backup has the words, duplicity has the words, rclone has the words, borg redacted, tar redacted
the one after that: rsync has the words, rsnapshot has the words, rdiff-backup has the words, duplicity has the words, rclone has the words, borg redacted, tar redacted
with --checksum: rsync redacted, rsnapshot has the words, rdiff-backup has the words, duplicity has the words, rclone redacted, borg redacted, tar redacted
changed a second later: rsync redacted, rsnapshot redacted, rdiff-backup redacted, duplicity redacted, rclone redacted, borg redacted, tar redacted
" ] || changed "other recordings are backed up"
echo "as described"

#!/usr/bin/env bash
# Tools: GNU tar 1.34, bsdtar 3.6.2, rsync 3.5.0 and borg 1.2.4 (Debian 12), Python's tarfile and shutil, tar 7.5.23 (Node.js), on a recording that
#   its owner and, by an ACL, one auditor may read; its group, to which the agents belong, may not.
# Expected: a backup without ACLs loses the auditor's right, which is a nuisance; nobody gains one.
# Happens: on a file with an ACL the group digit of the mode is not the group's right but the mask, the most that anyone but the owner gets: the
#   file with nothing for the group shows 640. Restored without the ACL, 640 is what it says: the whole group reads the recording. So with tar without
#   `--acls`, tarfile, Node's tar and `rsync -a`; by `tar --acls`, `rsync -aA`, bsdtar, borg and shutil the ACL comes back and the group stays out.
# Hurts: a restore or a move to a new volume opens the recordings to the group that the ACL was made to keep out, and `ls -l` shows the same mode as
#   before; copies into and out of a pod (`kubectl cp` is tar) do so too.
# Instead: back up with ACLs and compare `getfacl` after a restore; or give the file a group of its own (the auditors') and no ACL.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    acl=2.3.1-3 libacl1 tar=1.34+dfsg-1.2+deb12u1 rsync=3.5.0+ds1-0+deb12u1 libpopt0 libarchive-tools=3.6.2-1+deb12u5 libarchive13 borgbackup=1.2.4-1 python3-msgpack python3-packaging libxxhash0 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for name in acl libacl1 tar rsync=3.5.0+ds1-0+deb12u1 libpopt0 libarchive-tools=3.6.2-1+deb12u5 libarchive13 borgbackup python3-msgpack python3-packaging libxxhash0; do dpkg -x debs/"$name"_*.deb root; done
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund tar@7.5.23
PATH="$work/root/usr/bin:$work/root/bin:$PATH"
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu" HOME="$work" BORG_PASSPHRASE=example
borg() { PYTHONPATH="$work/root/usr/lib/python3/dist-packages" python3 "$work/root/usr/bin/borg" "$@"; }
for tool in tar bsdtar rsync; do "$tool" --version | head -n 1 | cut -d ' ' -f 1-4; done
borg --version
umask 022
mkdir from
echo speech >from/call.wav
chmod 600 from/call.wav
setfacl -m u:64001:r from/call.wav
show() { # name, file
    echo "$1: mode $(stat -c %a "$2"), group $(getfacl -c "$2" 2>/dev/null | sed -n 's/^group:://p'), auditor $(getfacl -cn "$2" 2>/dev/null | sed -n 's/^user:64001://p' | grep . || echo none)"
}
tar -cf plain.tar from
tar --acls -cf acls.tar from
bsdtar -cf bsd.tar from
borg init --encryption repokey repository 2>/dev/null
borg create repository::one from
mkdir gnu gnu-acls bsd node python borg
tar -xpf plain.tar -C gnu
tar --acls -xpf acls.tar -C gnu-acls
bsdtar -xpf bsd.tar -C bsd
(cd borg && borg extract ../repository::one)
python3 - <<'PY'
import shutil, tarfile
with tarfile.open("python.tar", "w") as archive:
    archive.add("from")
with tarfile.open("python.tar") as archive:
    archive.extractall("python", filter="tar")
shutil.copytree("from", "copytree")
PY
node --input-type=module -e "import { create, extract } from 'tar';
await create({ file: 'node.tar' }, ['from']);
await extract({ file: 'node.tar', cwd: 'node', preserveOwner: true });"
rsync -a from/ rsync/
rsync -aA from/ rsync-acls/
seen=$(
    show "before" from/call.wav
    show "tar" gnu/from/call.wav
    show "tar --acls" gnu-acls/from/call.wav
    show "bsdtar" bsd/from/call.wav
    show "tarfile" python/from/call.wav
    show "shutil.copytree" copytree/call.wav
    show "Node's tar" node/from/call.wav
    show "rsync -a" rsync/call.wav
    show "rsync -aA" rsync-acls/call.wav
    show "borg" borg/from/call.wav
)
echo "$seen"
[ "$seen" = "before: mode 640, group ---, auditor r--
tar: mode 640, group r--, auditor none
tar --acls: mode 640, group ---, auditor r--
bsdtar: mode 640, group ---, auditor r--
tarfile: mode 640, group r--, auditor none
shutil.copytree: mode 640, group ---, auditor r--
Node's tar: mode 640, group r--, auditor none
rsync -a: mode 640, group r--, auditor none
rsync -aA: mode 640, group ---, auditor r--
borg: mode 640, group ---, auditor r--" ] || changed "other rights come back"
echo "as described"

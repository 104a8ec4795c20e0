#!/usr/bin/env bash
# Tool: Python 3.11, logging.handlers.TimedRotatingFileHandler with a namer, as who compresses old files sets one. Two handlers in
#   one folder: app.log, of which two old files are kept, and app.audit.log, of which a thousand are kept.
# Expected: each handler deletes its own old files, down to its backupCount.
# Happens: with a namer that appends `.gz` the handler of app.log takes every file that begins with `app.` and has a date between dots for its
#   own, and as `app.audit` comes first by the alphabet, it deletes the audit log before anything of its own: at most two files of it are
#   left. With a namer that writes the date after a dash no handler finds its files, and none is ever deleted. Without a namer, and
#   with the date before `.log`, it is as expected.
# Hurts: the audit log, kept for years, goes with the log kept for days, without a word, whenever the other one rotates; in the other
#   case the personal data that logs name is kept for ever.
# Instead: one folder a log, or names that differ up to the first dot; after setting a namer, let both rotate more often than
#   backupCount says, and count the files.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
cat > rotate.py <<'PY'
import gzip, logging.handlers, os, platform, time

def compress(source, target):
    with open(source, "rb") as read, gzip.open(target, "wb") as written:
        written.write(read.read())
    os.remove(source)

ways = {
    "no namer": (None, None),
    "app.log.DATE.gz": (lambda name: name + ".gz", compress),
    "app.DATE.log": (lambda name: name.replace(".log", "") + ".log", None),
    "app-DATE.log": (lambda name: name.replace(".log.", "-") + ".log", None),
}
print("Python", ".".join(platform.python_version_tuple()[:2]))
logs = []
for number, (namer, rotator) in enumerate(ways.values()):
    os.mkdir(f"logs{number}")
    for name, kept in (("app.log", 2), ("app.audit.log", 1000)):
        handler = logging.handlers.TimedRotatingFileHandler(f"logs{number}/{name}", when="S", backupCount=kept)
        handler.namer, handler.rotator = namer, rotator
        logs.append(logging.Logger(name))
        logs[-1].addHandler(handler)
for _ in range(80):
    for log in logs:
        log.warning("line")
    time.sleep(0.1)
for number, way in enumerate(ways):
    old = [name for name in os.listdir(f"logs{number}") if name not in ("app.log", "app.audit.log")]
    left = lambda names: "at most two" if len(names) <= 2 else "all" if len(names) >= 6 else len(names)
    print(f"{way}: old files of the log {left([name for name in old if 'audit' not in name])}, of the audit log {left([name for name in old if 'audit' in name])}")
PY
seen=$(venv/bin/python rotate.py)
echo "$seen"
[ "$seen" = "Python 3.11
no namer: old files of the log at most two, of the audit log all
app.log.DATE.gz: old files of the log at most two, of the audit log at most two
app.DATE.log: old files of the log at most two, of the audit log all
app-DATE.log: old files of the log all, of the audit log all" ] || changed "other files are left"
echo "as described"

#!/usr/bin/env bash
# Tool: litestream 0.5.18 (continuous backup of SQLite), replica in a folder, a snapshot every 5 seconds, kept for 20 seconds, as a short form of
#   a day and thirty days.
# Expected: a minute after a row was erased, no state that is older than the retention can be restored.
# Happens: old files are deleted only when something new was written to the database: without a change there is no new snapshot, and without
#   one the retention is not looked at. If the erasure is the last write, the state of before it can be restored three retention periods later,
#   row and all. One more write, and it is gone within seconds.
# Hurts: in a quiet database (the voicemail of a department, a closed clinic, the register of erasures itself) the last thing that happens is the
#   erasure, and what was erased stays in the backup for as long as nobody writes: for a database that was retired, for ever.
# Instead: write something after an erasure and again after the retention (a row with the time, by a job, every day); test the erasure by
#   restoring the oldest state that can be restored; delete the replica of a database that is retired.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work" go install github.com/benbjohnson/litestream/cmd/litestream@v0.5.18 2>go.log || { cat go.log >&2; exit 1; }
cat > conf.yml <<YAML
snapshot: {interval: 5s, retention: 20s}
l0-retention: 5s
l0-retention-check-interval: 2s
levels: [{interval: 2s}, {interval: 4s}]
dbs: [{path: $work/calls.db, checkpoint-interval: 1s, replica: {type: file, path: $work/replica, sync-interval: 1s}}]
YAML
cat > make.py <<'PY'
import os, sqlite3
base = sqlite3.connect("calls.db", isolation_level=None)
base.execute("PRAGMA journal_mode=wal")
base.execute("CREATE TABLE calls(text)")
for n in range(50):
    base.execute("INSERT INTO calls VALUES(?)", ("Zyxwvut has diabetes" if n == 20 else f"call {n} {os.urandom(200).hex()}",))
PY
cat > write.py <<'PY'
import sqlite3, sys
base = sqlite3.connect("calls.db", isolation_level=None, timeout=20)
base.execute(sys.argv[1])
PY
python3 make.py
./litestream version
./litestream replicate -config conf.yml >server.log 2>&1 &
server=$!
# states LABEL: what the state of the first snapshot, and the newest one, hold when they are restored.
states() {
    local first newest
    for state in first newest; do
        rm -f restored.db*
        if [ $state = first ]; then
            ./litestream restore -config conf.yml -txid "$oldest" -o restored.db "$work/calls.db" >restore.log 2>&1 || true
        else
            ./litestream restore -config conf.yml -o restored.db "$work/calls.db" >restore.log 2>&1 || { cat restore.log >&2; exit 1; }
        fi
        printf -v $state %s "$([ -f restored.db ] && python3 -c 'import sqlite3; print(sqlite3.connect("restored.db").execute("SELECT count(*) FROM calls WHERE text LIKE \"Zyx%\"").fetchone()[0])' || echo "cannot be restored")"
    done
    echo "$1: rows of Zyxwvut in the newest state $newest, in the first state $first"
}
sleep 8
oldest=$(basename "$(ls replica/ltx/9/*.ltx | head -1)" .ltx) # the first snapshot, named by its first and last transaction
oldest=${oldest#*-}
seen=$(states "before")
python3 write.py "DELETE FROM calls WHERE text LIKE 'Zyx%'"
sleep 60
seen+=$'\n'$(states "60 s after the erasure")
python3 write.py "INSERT INTO calls VALUES('x')"
sleep 20
seen+=$'\n'$(states "20 s after one more write")
echo "$seen"
[ "$seen" = "before: rows of Zyxwvut in the newest state 1, in the first state 1
60 s after the erasure: rows of Zyxwvut in the newest state 0, in the first state 1
20 s after one more write: rows of Zyxwvut in the newest state 0, in the first state cannot be restored" ] || changed "other states can be restored"
echo "as described"

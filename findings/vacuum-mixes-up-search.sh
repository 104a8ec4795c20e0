#!/usr/bin/env bash
# Tools: sqlite-utils 4.2.1 with Python's SQLite, apsw 3.54.1.0 (SQLite 3.54.1): notes of calls in a table without a key (`insert` without `pk`), searched by FTS5 as
#   `enable_fts` sets it up: an index of the words that finds the row by its rowid. One note is deleted, and the file is made smaller by VACUUM.
# Expected: VACUUM changes the file, not what is in it: each query has the answer of before.
# Happens: without an INTEGER PRIMARY KEY and without any index the rows are numbered anew, and the search index is not. A search for the words of one caller then
#   shows the note of another one, or nobody's; deleting what such a search finds deletes the wrong note. With any index on the table the numbers
#   stay, and so they do in `vacuum into`. No error; `pragma integrity_check` of the file says ok, only FTS5's own check does not.
# Hurts: who asks for what is held on them is shown somebody else's; an erasure by search deletes another patient's note and leaves the one that was meant. A test
#   without deletions before passes, as the numbers have no gaps then, and so does one with an index.
# Instead: give each table that is searched an INTEGER PRIMARY KEY (tried), or rebuild the index after each VACUUM (tried); run its `integrity-check` with
#   rank 1 each night.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sqlite-utils==4.2.1 apsw==3.54.1.0
cat >search.py <<'PY'
import sqlite3, sys
import apsw, sqlite_utils
print(f"sqlite-utils {sys.argv[1]}, SQLite {apsw.sqlite_lib_version()} (apsw)", file=sys.stderr)
NOTES = [{"caller": f"caller {n}", "note": f"{word} spoken"} for n, word in enumerate(("alpha", "beta", "gamma", "delta"), 1)]

def run(name, prepare, **options):
    db = sqlite_utils.Database("notes.db", recreate=True)
    db["notes"].insert_all([dict(note, **({"id": n} if options else {})) for n, note in enumerate(NOTES, 1)], **options)
    prepare(db)
    db["notes"].enable_fts(["note"], create_triggers=True)
    db["notes"].delete_where("caller = 'caller 1'")
    find = lambda db: [", ".join(row["caller"] for row in db["notes"].search(word)) or "nobody" for word in ("beta", "gamma", "delta")]
    print(f"{name}, before: {'; '.join(find(db))}")
    return db, find

db, find = run("no key", lambda db: None)
db.vacuum()
db.close()
# The same file, by the current SQLite.
connection = apsw.Connection("notes.db")
def by_apsw(word):
    return ", ".join(caller for caller, in connection.execute("select caller from notes where rowid in (select rowid from notes_fts where notes_fts match ?)", (word,))) or "nobody"
print(f"no key, after VACUUM: {'; '.join(by_apsw(word) for word in ('beta', 'gamma', 'delta'))}")
print("integrity:", *[row[0] for row in connection.execute("pragma integrity_check")])
try:
    connection.execute("insert into notes_fts(notes_fts, rank) values ('integrity-check', 1)")
    print("of the index: ok")
except apsw.Error as error:
    print("of the index:", type(error).__name__)
connection.execute("delete from notes where rowid in (select rowid from notes_fts where notes_fts match 'beta')")
print("left after erasing by the search for beta:", "; ".join(f"{caller}: {note}" for caller, note in connection.execute("select caller, note from notes")))
connection.close()

db, find = run("no key, rebuilt", lambda db: None)
db.vacuum()
db["notes"].rebuild_fts()
print(f"no key, rebuilt after VACUUM: {'; '.join(find(db))}")
db, find = run("an index", lambda db: db["notes"].create_index(["caller"]))
db.vacuum()
print(f"an index, after VACUUM: {'; '.join(find(db))}")
db, find = run("a key", lambda db: None, pk="id")
db.vacuum()
print(f"a key, after VACUUM: {'; '.join(find(db))}")
# VACUUM by the current SQLite, too.
db, find = run("no key, apsw", lambda db: None)
db.close()
connection = apsw.Connection("notes.db")
connection.execute("vacuum into 'into.db'")
connection.execute("vacuum")
print(f"no key, apsw, after VACUUM: {'; '.join(by_apsw(word) for word in ('beta', 'gamma', 'delta'))}")
connection = apsw.Connection("into.db")
print(f"no key, apsw, after VACUUM INTO: {'; '.join(by_apsw(word) for word in ('beta', 'gamma', 'delta'))}")
PY
seen=$(venv/bin/python search.py 4.2.1)
echo "$seen"
right="caller 2; caller 3; caller 4" wrong="caller 3; caller 4; nobody"
[ "$seen" = "no key, before: $right
no key, after VACUUM: $wrong
integrity: ok
of the index: CorruptError
left after erasing by the search for beta: caller 2: beta spoken; caller 4: delta spoken
no key, rebuilt, before: $right
no key, rebuilt after VACUUM: $right
an index, before: $right
an index, after VACUUM: $right
a key, before: $right
a key, after VACUUM: $right
no key, apsw, before: $right
no key, apsw, after VACUUM: $wrong
no key, apsw, after VACUUM INTO: $right" ] || changed "other callers are found"
echo "as described"

#!/usr/bin/env bash
# Tool: pgaudit 1.7.0 with PostgreSQL 15 (Debian 12), set to `pgaudit.log = 'read, write, ddl, role'`, its other settings untouched.
# Expected: each statement that reads or changes a table of calls has an entry in the audit log, of class WRITE if it changes something.
# Happens: MERGE has none, whether it inserts, updates or deletes: it counts as class MISC, with the command `???`. A deletion inside of WITH
#   is logged as READ, SELECT, and so are the writing and the deletion of a recording kept as a large object. With `pgaudit.log_relation = on`,
#   which only promises one entry per table, MERGE and WITH are logged as what they do; large objects stay READ.
# Hurts: an import that merges, as many now write it, changes or erases records without a trace; who answers "who deleted this?" from the
#   WRITE entries names nobody, or only those who used DELETE.
# Instead: set `pgaudit.log_relation = on`, or grant to a `pgaudit.role`, which sees the tables too; search READ entries for lo_; send
#   one statement of each kind that the programs use and look for it in the log.
set -euo pipefail
work=$(mktemp -d)
data="$work/data"
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root data
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    postgresql-15-pgaudit=1.7.0-2 postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
server="$work/root/usr/lib/postgresql/15/bin"
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" LC_ALL=C
user=()
[ "$(id -u)" != 0 ] || { chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
stop() { [ ! -f "$data/db/postmaster.pid" ] || "${user[@]}" "$server/pg_ctl" -D "$data/db" -m fast stop >/dev/null 2>&1 || true; }

"${user[@]}" "$server/initdb" -D "$data/db" -U postgres -A trust >init.log 2>&1 || { cat init.log >&2; exit 1; }
cat >>"$data/db/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$data'
shared_preload_libraries = 'pgaudit'
pgaudit.log = 'read, write, ddl, role'
jit = off
CONF
"${user[@]}" "$server/pg_ctl" -D "$data/db" -l "$data/log" -w start >start.log 2>&1 || { cat start.log "$data/log" >&2; exit 1; }
ask() { "$server/psql" -h "$data" -U postgres -X -q -At -d postgres "$@"; }
ask -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)"
ask -c "create extension pgaudit" -c "select 'pgaudit ' || extversion from pg_extension where extname = 'pgaudit'" \
    -c "create table calls (id int primary key, note text)" -c "select lo_from_bytea(20000, 'recording')" >made.txt
head -1 made.txt

seen=""
entries() { # settings, what is told, statement
    local before entry
    before=$(wc -l <"$data/log")
    ask -c "$1" -c "$3" >/dev/null
    entry=$(tail -n "+$((before + 1))" "$data/log" | sed -n '/log_relation/d; s/.*AUDIT: SESSION,[0-9]*,[0-9]*,\([^,]*,[^,]*\),.*/\1/p' | paste -sd ' ')
    echo "$2: ${entry:-no entry}"
    seen+="$2: ${entry:-no entry}"$'\n'
}
row="merge into calls using (values (1)) as given (id) on calls.id = given.id"
for relation in off on; do
    entries "set pgaudit.log_relation = $relation" "log_relation $relation, insert" "insert into calls values (2, 'note')"
    entries "set pgaudit.log_relation = $relation" "log_relation $relation, merge that inserts" "$row when not matched then insert values (1, 'note')"
    entries "set pgaudit.log_relation = $relation" "log_relation $relation, merge that updates" "$row when matched then update set note = 'other'"
    entries "set pgaudit.log_relation = $relation" "log_relation $relation, merge that deletes" "$row when matched then delete"
    entries "set pgaudit.log_relation = $relation" "log_relation $relation, deletion in WITH" "with gone as (delete from calls where id = 2 returning id) select id from gone"
    entries "set pgaudit.log_relation = $relation" "log_relation $relation, recording overwritten" "select lo_put(20000, 0, 'silence')"
done
entries "set pgaudit.log_relation = off" "recording deleted" "select lo_unlink(20000)"
entries "set pgaudit.log = 'misc'; set pgaudit.log_relation = off" "class MISC, merge that inserts" "$row when not matched then insert values (1, 'note')"
[ "$seen" = "log_relation off, insert: WRITE,INSERT
log_relation off, merge that inserts: no entry
log_relation off, merge that updates: no entry
log_relation off, merge that deletes: no entry
log_relation off, deletion in WITH: READ,SELECT
log_relation off, recording overwritten: READ,SELECT
log_relation on, insert: WRITE,INSERT
log_relation on, merge that inserts: WRITE,INSERT
log_relation on, merge that updates: WRITE,UPDATE
log_relation on, merge that deletes: WRITE,DELETE
log_relation on, deletion in WITH: WRITE,DELETE
log_relation on, recording overwritten: READ,SELECT
recording deleted: READ,SELECT
class MISC, merge that inserts: MISC,???
" ] || changed "other entries than described"
echo "as described"

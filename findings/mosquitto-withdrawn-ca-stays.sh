#!/usr/bin/env bash
# Tool: Mosquitto 2.0.11 (Debian 12) with `require_certificate true`; in operation one CA is taken out of `cafile` and another put in, without
#   and with a list of revoked certificates (`crlfile`).
# Expected: SIGHUP, on which the broker reads its certificate again, makes the new `cafile` count for new connections too, in both cases alike.
# Happens: the new server certificate is served at once. Without `crlfile` the CAs stay those of the broker's start: clients of the CA that was
#   taken out still get in, those of the added one are refused. With `crlfile` the same signal renews the CAs and the list. The log says
#   "Reloading config." and nothing else in both cases.
# Hurts: a rotation of the CA looks complete in the file, in the log and by the certificate that is served; devices and former employees whose
#   CA was withdrawn go on publishing and reading for months, as a broker is restarted seldom. Whoever tried it with a list found all well.
# Instead: restart the broker after `cafile` was changed, and test by a client that has to be refused.
set -euo pipefail
work=$(mktemp -d)
broker=""
trap 'stop; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }
stop() { [ -z "$broker" ] || { kill "$broker" && wait "$broker"; } 2>/dev/null || true; }

mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    mosquitto=2.0.11-1.2+deb12u2 mosquitto-clients=2.0.11-1.2+deb12u2 libmosquitto1 libwebsockets17 libdlt2 libcjson1 libev4 libuv1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu"
for ca in old new added; do
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$ca.key" -out "$ca.pem" -days 30 -subj "/CN=CA $ca" 2>/dev/null
    for name in server client; do
        openssl req -newkey rsa:2048 -nodes -keyout "$name-$ca.key" -out request.pem -subj "/CN=$name of $ca" -addext "subjectAltName=DNS:localhost" 2>/dev/null
        openssl x509 -req -in request.pem -CA "$ca.pem" -CAkey "$ca.key" -CAcreateserial -days 10 -copy_extensions copy -out "$name-$ca.pem" 2>/dev/null
    done
done
cat old.pem new.pem added.pem >all.pem
lists() { # of all CAs, with nobody on them or the client of the new CA
    local ca
    for ca in old new added; do
        : >"index-$ca"
        echo 01 >"number-$ca"
        printf '[ca]\ndefault_ca = d\n[d]\ndatabase = %s\ncrlnumber = %s\ndefault_md = sha256\ndefault_crl_days = 20\n' "index-$ca" "number-$ca" >ca.conf
        [ "$1-$ca" != revoked-new ] || openssl ca -config ca.conf -keyfile new.key -cert new.pem -revoke client-new.pem 2>/dev/null
        openssl ca -config ca.conf -gencrl -keyfile "$ca.key" -cert "$ca.pem" 2>/dev/null
    done
}
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > base.conf <<CONF
listener $port 127.0.0.1
cafile $work/trusted.pem
certfile $work/server.pem
keyfile $work/server.key
require_certificate true
use_identity_as_username true
user $(id -un)
CONF
serve() { cp "server-$1.pem" server.pem && cp "server-$1.key" server.key; }
start() {
    root/usr/sbin/mosquitto -c broker.conf >>broker.log 2>&1 &
    broker=$!
    for _ in $(seq 50); do (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && break; sleep 0.2; done
}
enter() { timeout 10 root/usr/bin/mosquitto_pub -h localhost -p "$port" --cafile all.pem --cert "client-$1.pem" --key "client-$1.key" -t calls -m text >/dev/null 2>&1 && echo "gets in" || echo refused; }
seen=""
tell() {
    local line
    line="$1: server certificate $(openssl s_client -connect "127.0.0.1:$port" </dev/null 2>/dev/null | sed -n 's/^subject=.*server //p'); client of old $(enter old), of new $(enter new), of added $(enter added)"
    echo "$line"
    seen+="$line"$'\n'
}
rotate() { # name, line of the configuration
    { cat base.conf; echo "$2"; } >broker.conf
    cat old.pem new.pem >trusted.pem
    lists empty >revoked.pem
    serve old
    start
    tell "$1, trusted old and new"
    cat new.pem added.pem >trusted.pem
    lists revoked >revoked.pem
    serve new
    kill -HUP "$broker"
    sleep 2
    tell "$1, trusted new and added, reloaded"
    stop
    start
    tell "$1, trusted new and added, restarted"
    stop
}
rotate "no list" ""
sed -n '0,/starting/s/.*: \(mosquitto version [0-9.]*\) starting/\1/p' broker.log
rotate "a list, the client of new put on it" "crlfile $work/revoked.pem"
broker=""
[ "${seen%$'\n'}" = "no list, trusted old and new: server certificate of old; client of old gets in, of new gets in, of added refused
no list, trusted new and added, reloaded: server certificate of new; client of old gets in, of new gets in, of added refused
no list, trusted new and added, restarted: server certificate of new; client of old refused, of new gets in, of added gets in
a list, the client of new put on it, trusted old and new: server certificate of old; client of old gets in, of new gets in, of added refused
a list, the client of new put on it, trusted new and added, reloaded: server certificate of new; client of old refused, of new refused, of added gets in
a list, the client of new put on it, trusted new and added, restarted: server certificate of new; client of old refused, of new refused, of added gets in" ] || changed "other clients get in"
echo "as described"

#!/usr/bin/env bash
# Tools: Node.js 20 (`crl` of tls), granian 2.8.9 (a Python web server on rustls-webpki) and Java 17 (PKIX with a collection of lists), beside Python's `ssl` and
#   OpenSSL 3: each was given the list of revoked certificates of last week and that of today, both in force, of one issuer, in one file or in two.
# Expected: who is revoked by the newer list is refused, whichever stands first; a file of several lists is read to its end, as a file of several CAs is.
# Happens: Node.js and granian read the first list of a file and no other, without an error: with the older one first the revoked client gets in, and with the
#   lists of two CAs in one file a good client of the second CA is refused. Of two files granian asks the first that is of the issuer and no other (`find` in
#   crl/mod.rs of rustls-webpki), Node.js both. Java asks one of the two, by the order of their hashes (`verifyCRL` in DistributionPointFetcher leaves out
#   what covers no further reasons): about each second pair lets the revoked one in. Python and OpenSSL refuse in each order.
# Hurts: where new lists are appended to a file, or a folder is read in the order of names, a lost or stolen key goes on entering until the older list is
#   taken away; a test with `openssl verify` and the same file says that it is refused.
# Instead: give one list for each issuer, the newest, and each in a file of its own that is replaced as a whole; try with a revoked certificate after each change.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check granian==2.8.9
exec 3>openssl.log
key() { openssl req "${@:2}" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$1" 2>&3; }
authority() {
    key "$1" -x509 -days 3650 -out "$1.pem" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -config plain.cnf
    : >"$1.index"
    echo 1000 >"$1.number"
    printf '%s\n' '[ca]' 'default_ca = d' '[d]' "database = $1.index" "crlnumber = $1.number" 'default_md = sha256' "certificate = $1.pem" "private_key = $1.key" \
        'crl_extensions = e' '[e]' 'authorityKeyIdentifier = keyid' >"$1.cnf"
}
issue() { # authority, name, serial number
    key "$2" -out "$2.csr" -config plain.cnf
    printf '%s\n' 'subjectAltName = DNS:localhost' 'basicConstraints = CA:FALSE' 'keyUsage = critical,digitalSignature' 'extendedKeyUsage = serverAuth,clientAuth' >ext
    openssl x509 -req -in "$2.csr" -CA "$1.pem" -CAkey "$1.key" -set_serial "$3" -days 300 -extfile ext -out "$2.pem" 2>&3
}
day() { date -u -d "$1" +%Y%m%d%H%M%SZ; }
list() { openssl ca -config "$1.cnf" -gencrl -crl_lastupdate "$(day "$3")" -crl_nextupdate "$(day '+24 days')" -out "$2.crl" 2>&3; }
printf '%s\n' '[req]' 'distinguished_name = d' '[d]' >plain.cnf
authority first
authority second
issue first server 4711
issue first erika 4712
issue first max 4713
issue second other 4714
list first old '-6 days'
list second second '-6 days'
openssl ca -config first.cnf -revoke erika.pem 2>&3
list first new '-1 hour'
for number in $(seq 20); do list first "new$number" "-$number minutes"; done
cat old.crl new.crl >old-new.crl
cat new.crl old.crl >new-old.crl
cat new.crl second.crl >both.crl
cat first.pem second.pem >authorities.pem

cat >serve.mjs <<'JS'
import tls from 'node:tls';
import fs from 'node:fs';
const read = (name) => fs.readFileSync(name);
const server = tls.createServer({ key: read('server.key'), cert: read('server.pem'), ca: read('authorities.pem'), crl: process.argv.slice(2).map(read), requestCert: true,
  rejectUnauthorized: true }, (socket) => socket.on('error', () => {}).once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\n')));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
JS
cat >serve.py <<'PY'
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
context.load_verify_locations("authorities.pem")
for name in sys.argv[1:]:
    context.load_verify_locations(name)
context.verify_mode = ssl.CERT_REQUIRED
context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection = listener.accept()[0]
    try:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1000)
            secure.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    except OSError:
        pass
PY
cat >app.py <<'PY'
def app(environment, start):
    start("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
    return [b"ok"]
PY
cat >Check.java <<'JAVA'
import java.io.FileInputStream;
import java.security.cert.*;
import java.util.*;

public class Check {
    static boolean enters(String... files) throws Exception {
        var factory = CertificateFactory.getInstance("X.509");
        var lists = new ArrayList<CRL>();
        for (String file : files) lists.addAll(factory.generateCRLs(new FileInputStream(file)));
        var parameters = new PKIXParameters(Set.of(new TrustAnchor((X509Certificate) factory.generateCertificate(new FileInputStream("first.pem")), null)));
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(lists)));
        try {
            CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(List.of(factory.generateCertificate(new FileInputStream("erika.pem")))), parameters);
            return true;
        } catch (CertPathValidatorException error) {
            return false;
        }
    }
    public static void main(String[] none) throws Exception {
        int both = 0, turned = 0, alone = 0;
        for (int number = 1; number <= 20; number++) {
            String newer = "new" + number + ".crl";
            if (enters("old.crl", newer)) both++;
            if (enters(newer, "old.crl")) turned++;
            if (enters(newer)) alone++;
        }
        System.err.println("erika enters with " + both + ", turned " + turned + " of 20");
        System.out.println("  erika with each of 20 newer lists: " + (alone == 0 ? "refused" : "in") + ", with the older one before it "
            + (both == 0 ? "refused" : both == 20 ? "in" : "by chance") + ", after it " + (turned == 0 ? "refused" : turned == 20 ? "in" : "by chance"));
    }
}
JAVA
cat >ask.py <<'PY'
import socket, ssl, subprocess, sys, time

def attempt(port, name):
    context = ssl.create_default_context(cafile="first.pem")
    context.load_cert_chain(name + ".pem", name + ".key")
    with socket.create_connection(("127.0.0.1", port), 60) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return "in" if secure.recv(12) == b"HTTP/1.1 200" else "refused"
        except (ssl.SSLError, ConnectionError):
            return "refused"

def serve(what, files):
    if what == "granian":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        lists = [word for file in files for word in ("--ssl-crl", file)]
        command = ["venv/bin/granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--ssl-certificate", "server.pem", "--ssl-keyfile", "server.key",
            "--ssl-ca", "authorities.pem", "--ssl-client-verify", *lists, "app:app"]
        with open("granian.log", "a") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(1200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return server, port
            except OSError:
                time.sleep(0.1)
        raise SystemExit("granian does not answer")
    server = subprocess.Popen([*{"node": ["node", "serve.mjs"], "python": [sys.executable, "serve.py"]}[what], *files], stdout=subprocess.PIPE)
    return server, int(server.stdout.readline())

for files in sys.argv[2:]:
    server, port = serve(sys.argv[1], files.split("+"))
    print(", ".join(f"{name} {attempt(port, name)}" for name in ("erika", "max", "other")), flush=True)
    server.terminate()
    server.wait()
PY
verify() {
    for files in "$@"; do
        local options=() answers=""
        for file in ${files//+/ }; do options+=(-CRLfile "$file"); done
        for name in erika max other; do
            if openssl verify -crl_check -CAfile authorities.pem "${options[@]}" "$name.pem" >/dev/null 2>&3; then answers+=", $name in"; else answers+=", $name refused"; fi
        done
        echo "${answers#, }"
    done
}
echo "Node.js $(node --version | cut -d. -f1), $(venv/bin/granian --version), $(openssl version | cut -d' ' -f1,2 | cut -d. -f1)"
cases=(old.crl+second.crl new.crl+second.crl old.crl+new.crl+second.crl new.crl+old.crl+second.crl old-new.crl+second.crl new-old.crl+second.crl both.crl)
verify "${cases[@]}" >openssl.out
java -XX:TieredStopAtLevel=1 Check.java >java.out 2>java.log || { cat java.log >&2; changed "Java does not run"; }
for what in python node granian; do python3 ask.py "$what" "${cases[@]}" >"$what.out" || { cat granian.log >&2; changed "$what does not run"; }; done
seen=""
for what in openssl python node granian; do seen+="$what:"$'\n'"$(paste -d ' ' <(printf '  %s:\n' "${cases[@]//.crl/}") "$what.out")"$'\n'; done
seen+="java:"$'\n'"$(cat java.out)"
echo "$seen"
[ "$seen" = "openssl:
  old+second: erika in, max in, other in
  new+second: erika refused, max in, other in
  old+new+second: erika refused, max in, other in
  new+old+second: erika refused, max in, other in
  old-new+second: erika refused, max in, other in
  new-old+second: erika refused, max in, other in
  both: erika refused, max in, other in
python:
  old+second: erika in, max in, other in
  new+second: erika refused, max in, other in
  old+new+second: erika refused, max in, other in
  new+old+second: erika refused, max in, other in
  old-new+second: erika refused, max in, other in
  new-old+second: erika refused, max in, other in
  both: erika refused, max in, other in
node:
  old+second: erika in, max in, other in
  new+second: erika refused, max in, other in
  old+new+second: erika refused, max in, other in
  new+old+second: erika refused, max in, other in
  old-new+second: erika in, max in, other in
  new-old+second: erika refused, max in, other in
  both: erika refused, max in, other refused
granian:
  old+second: erika in, max in, other in
  new+second: erika refused, max in, other in
  old+new+second: erika in, max in, other in
  new+old+second: erika refused, max in, other in
  old-new+second: erika in, max in, other in
  new-old+second: erika refused, max in, other in
  both: erika refused, max in, other refused
java:
  erika with each of 20 newer lists: refused, with the older one before it by chance, after it by chance" ] || changed "other lists are read"
echo "as described"

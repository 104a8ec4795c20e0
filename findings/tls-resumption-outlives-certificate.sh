#!/usr/bin/env bash
# Tools: the TLS 1.3 servers of Python (ssl), Node.js, Java 17 and Go 1.26 (versions and OpenSSL's are printed) with their defaults, each asking
#   for a client certificate; libfaketime 0.9.10 for the time. A client with a certificate of a day enters 50 minutes before its end, and from
#   then on connects again at an interval, resuming the session of the last time.
# Expected: a session is resumed no longer than the client's certificate is good; then the server asks for a full handshake, and refuses. RFC 8446
#   (4.6.1) recommends to limit it by the life of the peer's certificate.
# Happens: Go does so. Python (tickets of 2 hours) and Java (a day) let the client in for the ten days watched, as each new ticket begins its time
#   anew. Node.js lets it in until two hours after the full handshake (its documentation speaks of 300 seconds). The service is told the name in
#   the ended certificate. Without a session all refuse it.
# Hurts: short certificates are meant to end access by themselves, for a device that was handed back or an agent who left. A peer that connects
#   often enough stays in until the server is restarted, and a test by one fresh connection shows that all is well.
# Instead: in a service that asks for client certificates look at the end of the peer's certificate in each connection, a resumed one too (tried
#   in Java), or give out no tickets (num_tickets = 0 in Python, tried); restart it, or let it make a new TLS context, when somebody has to go.
set -euo pipefail
work=$(mktemp -d)
servers=()
trap 'for server in "${servers[@]}"; do kill "$server" && wait "$server" || true; done 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    libfaketime=0.9.10-2.1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
dpkg -x debs/libfaketime*.deb root
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 40 -subj "/CN=ca" 2>/dev/null
for name in server client; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$name.key" -out request.pem -subj "/CN=$name" -addext "subjectAltName=DNS:localhost" 2>/dev/null
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days "$([ "$name" = client ] && echo 1 || echo 30)" -copy_extensions copy -out "$name.pem" 2>/dev/null
done
end=$(date -d "$(openssl x509 -in client.pem -noout -enddate | cut -d= -f2)" +%s)
openssl pkcs12 -export -in server.pem -inkey server.key -passout pass:changeit -out server.p12
cat > server.py <<'PY'
import socket, ssl, sys, threading

context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile="ca.pem")
context.load_cert_chain("server.pem", "server.key")
context.verify_mode = ssl.CERT_REQUIRED
if sys.argv[1:]:
    context.num_tickets = 0
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)

def serve(raw):
    try:
        with context.wrap_socket(raw, server_side=True) as stream:
            stream.recv(9)
            stream.sendall(dict(part[0] for part in stream.getpeercert()["subject"])["commonName"].encode())
    except OSError:
        pass

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
PY
cat > server.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { createServer } from 'node:tls';
const [ca, cert, key] = ['ca.pem', 'server.pem', 'server.key'].map((path) => readFileSync(path));
const server = createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: true }, (stream) => {
  stream.on('error', () => {});
  stream.on('data', () => stream.end(stream.authorized ? stream.getPeerCertificate().subject.CN : ''));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
JS
cat > Server.java <<'JAVA'
import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.security.KeyStore;
import java.security.cert.*;
import javax.net.ssl.*;

public class Server {
    public static void main(String[] words) throws Exception {
        KeyStore own = KeyStore.getInstance("PKCS12"), trusted = KeyStore.getInstance("PKCS12");
        own.load(new FileInputStream("server.p12"), "changeit".toCharArray());
        trusted.load(null, null);
        trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream("ca.pem")));
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(own, "changeit".toCharArray());
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        SSLServerSocket listener = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 50, InetAddress.getLoopbackAddress());
        listener.setNeedClientAuth(true);
        System.out.println(listener.getLocalPort());
        while (true) {
            SSLSocket stream = (SSLSocket) listener.accept();
            new Thread(() -> {
                try (stream) {
                    stream.getInputStream().read();
                    if (words.length > 0) ((X509Certificate) stream.getSession().getPeerCertificates()[0]).checkValidity();
                    stream.getOutputStream().write(stream.getSession().getPeerPrincipal().getName().replace("CN=", "").getBytes());
                } catch (IOException | CertificateException refused) {
                    return;
                }
            }).start();
        }
    }
}
JAVA
cat > server.go <<'GO'
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	pair, err := tls.LoadX509KeyPair("server.pem", "server.key")
	if err != nil {
		panic(err)
	}
	authority, _ := os.ReadFile("ca.pem")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	clock := func() time.Time {
		text, _ := os.ReadFile("clock")
		seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			panic(err)
		}
		return time.Unix(seconds, 0)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, Time: clock})
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		stream, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer stream.Close()
			if _, err := stream.Read(make([]byte, 9)); err == nil {
				fmt.Fprint(stream, stream.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName)
			}
		}()
	}
}
GO
cat > client.py <<'PY'
import os, socket, ssl, sys

end, ports = int(sys.argv[1]), dict(zip(sys.argv[2::2], map(int, sys.argv[3::2])))
context = ssl.create_default_context(cafile="ca.pem")
context.load_cert_chain("client.pem", "client.key")

def enter(port, session=None):
    """What the client sees, and the session that it goes on with."""
    try:
        with (socket.create_connection(("127.0.0.1", port)) as raw,
                context.wrap_socket(raw, server_hostname="localhost", session=session) as stream):
            stream.sendall(b"x")
            if stream.recv(99) == b"client":
                return "resumed" if stream.session_reused else "in", stream.session
    except (ssl.SSLError, ConnectionError):
        pass
    return "refused", None

def at(minute):
    with open("next", "w") as file:
        file.write(f"{end + minute * 60}\n")
    os.replace("next", "clock")

for name, step in (("Python", 110), ("Python without tickets", 30), ("Node.js", 55), ("Java", 1380), ("Java with a check", 1380), ("Go", 30)):
    session, seen = None, []
    for minute in range(-50, 10 * 24 * 60, step):
        at(minute)
        what, session = enter(ports[name], session)
        if what == "refused":
            break
        seen.append(what)
    print(f"{name}, every {step} min: {seen.count('in')} in, {seen.count('resumed')} resumed,",
        f"refused at {minute:+} min," if what == "refused" else "for ten days,", f"without a session {enter(ports[name])[0]}")
PY
echo "$((end - 3600))" >clock
go build -o server-go server.go
javac Server.java
fake() { # in a subshell: the command with the time that is in the file
    exec env TZ=UTC0 FAKETIME_FMT=%s FAKETIME_TIMESTAMP_FILE="$work/clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
        LD_PRELOAD="$work/root/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1" "$@"
}
ports=()
serve() { # name, command
    fake "${@:2}" >port 2>>server.log &
    servers+=($!)
    for _ in $(seq 600); do [ ! -s port ] || break; sleep 0.2; done
    ports+=("$1" "$(cat port)")
    rm port
}
serve Python python3 server.py
serve "Python without tickets" python3 server.py 0
serve Node.js node server.mjs
serve Java java Server
serve "Java with a check" java Server check
serve Go ./server-go
python3 -c 'import ssl, sys; print("Python", sys.version.split()[0], ssl.OPENSSL_VERSION)'
node -p '`Node.js ${process.versions.node} OpenSSL ${process.versions.openssl}`'
java -version 2>&1 | head -n 1
go version
seen=$(fake python3 client.py "$end" "${ports[@]}")
echo "$seen"
[ "$seen" = "Python, every 110 min: 1 in, 131 resumed, for ten days, without a session refused
Python without tickets, every 30 min: 2 in, 0 resumed, refused at +10 min, without a session refused
Node.js, every 55 min: 1 in, 2 resumed, refused at +115 min, without a session refused
Java, every 1380 min: 1 in, 10 resumed, for ten days, without a session refused
Java with a check, every 1380 min: 1 in, 0 resumed, refused at +1330 min, without a session refused
Go, every 30 min: 1 in, 1 resumed, refused at +10 min, without a session refused" ] || changed "other clients get in"
echo "as described"

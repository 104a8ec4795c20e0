#!/usr/bin/env bash
# Tools: Go 1.26 crypto/x509, Java 17, pyca/cryptography 46.0.3, Node.js 20 and OpenSSL 3, with one file of three CAs, the second of which has a
#   key on brainpoolP256r1, the curve of the German health network (gematik's TI) among others.
# Expected: all three are trusted, or loading the file fails and names the CA that cannot be used.
# Happens: Go skips the second CA and says that the file was taken (`AppendCertsFromPEM` is true): what it issued is "signed by unknown
#   authority". Java reads all three and fails at the first certificate of the second with "signature check failed"; pyca reads all three
#   and calls the key forbidden. Node.js and OpenSSL trust all three.
# Hurts: behind a proxy with OpenSSL it works, and the service in Go or Java that is put there later refuses everyone of one issuer, with a
#   message that speaks of a missing CA or of a forged certificate; who then takes checks out to make it work has lost more.
# Instead: count the CAs after loading (Go: parse each block by itself and fail), check a leaf of each CA at the start; for these curves
#   end TLS in something with OpenSSL or Bouncy Castle; ask issuers for certificates from their CA on a NIST curve.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cryptography==46.0.3
for ca in first:prime256v1 second:brainpoolP256r1 third:prime256v1; do
    name=${ca%:*}
    openssl ecparam -name "${ca#*:}" -genkey -noout -out "$name-ca.key"
    openssl req -x509 -new -key "$name-ca.key" -days 30 -subj "/CN=$name" -addext keyUsage=critical,keyCertSign,cRLSign -out "$name-ca.pem"
    openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"
    openssl req -new -key "$name.key" -subj "/CN=leaf" -out "$name.csr"
    openssl x509 -req -in "$name.csr" -CA "$name-ca.pem" -CAkey "$name-ca.key" -CAcreateserial -days 20 -out "$name.pem" 2>/dev/null \
        -extfile <(printf '%s\n' 'basicConstraints = CA:FALSE' 'subjectAltName = DNS:localhost' 'extendedKeyUsage = serverAuth' 'authorityKeyIdentifier = keyid')
done
cat first-ca.pem second-ca.pem third-ca.pem >bundle.pem

cat > main.go <<'GO'
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	bundle, _ := os.ReadFile("bundle.pem")
	pool := x509.NewCertPool()
	fmt.Println("Go, the file is taken:", pool.AppendCertsFromPEM(bundle))
	for _, name := range []string{"first", "second", "third"} {
		text, _ := os.ReadFile(name + ".pem")
		block, _ := pem.Decode(text)
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err == nil {
			_, err = leaf.Verify(x509.VerifyOptions{Roots: pool})
		}
		fmt.Println("Go,", name+":", err)
	}
}
GO
cat > Check.java <<'JAVA'
import java.io.FileInputStream;
import java.security.cert.*;
import java.util.*;

public class Check {
    public static void main(String[] none) throws Exception {
        var factory = CertificateFactory.getInstance("X.509");
        var anchors = new HashSet<TrustAnchor>();
        for (var ca : factory.generateCertificates(new FileInputStream("bundle.pem"))) anchors.add(new TrustAnchor((X509Certificate) ca, null));
        System.out.println("Java, CAs in the file: " + anchors.size());
        for (String name : new String[] {"first", "second", "third"}) {
            String found = "good";
            try {
                var parameters = new PKIXParameters(anchors);
                parameters.setRevocationEnabled(false);
                CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(List.of(factory.generateCertificate(new FileInputStream(name + ".pem")))), parameters);
            } catch (CertPathValidatorException error) {
                found = error.getMessage();
            }
            System.out.println("Java, " + name + ": " + found);
        }
    }
}
JAVA
cat > check.py <<'PY'
from cryptography import x509
from cryptography.x509 import verification
load = lambda name: open(name, "rb").read()
cas = x509.load_pem_x509_certificates(load("bundle.pem"))
print("pyca, CAs in the file:", len(cas))
for name in ("first", "second", "third"):
    try:
        verification.PolicyBuilder().store(verification.Store(cas)).build_server_verifier(x509.DNSName("localhost")).verify(
            x509.load_pem_x509_certificate(load(name + ".pem")), [])
        print(f"pyca, {name}: good")
    except verification.VerificationError as error:
        print(f"pyca, {name}: {'forbidden public key algorithm' if 'Forbidden public key algorithm' in str(error) else error}")
PY
cat > check.cjs <<'JS'
const tls = require("tls"), { readFileSync } = require("fs");
const check = (name) => new Promise((done) => {
  const end = (text) => { console.log(`Node.js, ${name}: ${text}`); server.close(done); };
  const server = tls.createServer({ key: readFileSync(name + ".key"), cert: readFileSync(name + ".pem") }, (socket) => socket.end()).on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1", () => {
    const socket = tls.connect({ port: server.address().port, host: "127.0.0.1", servername: "localhost", ca: readFileSync("bundle.pem") }, () => { socket.destroy(); end("good"); });
    socket.on("error", (error) => end(error.code));
  });
});
(async () => { for (const name of ["first", "second", "third"]) await check(name); })();
JS
echo "$(go version | cut -d ' ' -f 3), Java $(java -version 2>&1 | sed -n '1s/.*"\(.*\)".*/\1/p'), pyca/cryptography 46.0.3, Node.js $(node --version), $(openssl version | cut -d ' ' -f 1,2)"
seen=$(go run main.go; java Check.java; venv/bin/python check.py; node check.cjs
    for name in first second third; do echo "OpenSSL, $name: $(openssl verify -CAfile bundle.pem "$name.pem" >/dev/null 2>&1 && echo good || echo refused)"; done)
echo "$seen"
[ "$seen" = "Go, the file is taken: true
Go, first: <nil>
Go, second: x509: certificate signed by unknown authority
Go, third: <nil>
Java, CAs in the file: 3
Java, first: good
Java, second: signature check failed
Java, third: good
pyca, CAs in the file: 3
pyca, first: good
pyca, second: forbidden public key algorithm
pyca, third: good
Node.js, first: good
Node.js, second: good
Node.js, third: good
OpenSSL, first: good
OpenSSL, second: good
OpenSSL, third: good" ] || changed "other answers than described"
echo "as described"

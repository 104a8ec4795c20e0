#!/usr/bin/env bash
# Tools: rustls-webpki 0.103.17 (Rust), pyca/cryptography 46.0.3 (Python), crypto/x509 of Go, Java's PKIX and OpenSSL (the versions that run
#   here are printed), one chain: root, intermediate with a name constraint, leaf with a DNS name and a SPIFFE ID.
# Expected: an intermediate that is limited to the URIs of one trust domain (RFC 5280, 4.2.1.10) is good for a leaf of that trust domain,
#   with all of them.
# Happens: Go, Java and OpenSSL accept it. rustls-webpki and pyca refuse each chain with a URI in the constraints, permitted or excluded,
#   whatever the leaf's ID is: "name constraint violation", "unsupported name constraint". With a limit on DNS names alone all five
#   accept. pyca also refuses a DNS limit with a leading dot (".calls.example", in use though RFC 5280 has it for URIs only); the others accept it.
# Hurts: a mesh that limits its CAs by trust domain works between Go and Java services, and no Rust or Python service can connect; the error
#   reads as if the leaf were wrong. A rotation to such a CA cuts them off.
# Instead: limit by DNS names without a leading dot, and check the trust domain in the peers; try a new CA on each stack before the rotation.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cryptography==46.0.3
cat > make.py <<'PY'
import datetime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

now = datetime.datetime.now(datetime.timezone.utc)
keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "intermediate", "leaf")}

def make(path, subject, issuer, *extensions):
    ca = subject != "leaf"
    name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    builder = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(keys[subject].public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[subject].public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[issuer].public_key()), False)
        .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True))
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    for extension in extensions:
        builder = builder.add_extension(extension, isinstance(extension, x509.NameConstraints))
    with open(path, "wb") as file:
        file.write(builder.sign(keys[issuer], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

URI, DNS = x509.UniformResourceIdentifier, x509.DNSName
make("root.pem", "root", "root")
make("leaf.pem", "leaf", "intermediate", x509.SubjectAlternativeName([DNS("desk.calls.example"), URI("spiffe://calls.example/desk")]))
make("none.pem", "intermediate", "root")
make("dns.pem", "intermediate", "root", x509.NameConstraints([DNS("calls.example")], None))
make("uri.pem", "intermediate", "root", x509.NameConstraints([URI("calls.example")], None))
make("other-uri-excluded.pem", "intermediate", "root", x509.NameConstraints(None, [URI("other.example")]))
make("dns-with-dot.pem", "intermediate", "root", x509.NameConstraints([DNS(".calls.example")], None))
PY
venv/bin/python make.py
cat > check.py <<'PY'
import sys
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
root, leaf = (x509.load_pem_x509_certificate(open(path, "rb").read()) for path in ("root.pem", "leaf.pem"))
for name in sys.argv[1:]:
    between = x509.load_pem_x509_certificate(open(name + ".pem", "rb").read())
    try:
        PolicyBuilder().store(Store([root])).build_server_verifier(x509.DNSName("desk.calls.example")).verify(leaf, [between])
        print("ok")
    except VerificationError as error:
        print("refused:", str(error).split(": ", 2)[-1])
PY
cat > check.go <<'GO'
package main

import (
	"crypto/x509"
	"fmt"
	"os"
)

func pool(path string) *x509.CertPool {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}

func main() {
	text, _ := os.ReadFile("leaf.der")
	leaf, err := x509.ParseCertificate(text)
	if err != nil {
		panic(err)
	}
	for _, name := range os.Args[1:] {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: pool("root.pem"), Intermediates: pool(name + ".pem"), DNSName: "desk.calls.example"})
		if err == nil {
			fmt.Println("ok")
		} else {
			fmt.Println("refused:", err)
		}
	}
}
GO
cat > Check.java <<'JAVA'
import java.io.FileInputStream;
import java.security.cert.*;
import java.util.List;
import java.util.Set;

public class Check {
    static X509Certificate read(String path) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(path));
    }

    public static void main(String[] names) throws Exception {
        for (String name : names) {
            var path = CertificateFactory.getInstance("X.509").generateCertPath(List.of(read("leaf.pem"), read(name + ".pem")));
            var rules = new PKIXParameters(Set.of(new TrustAnchor(read("root.pem"), null)));
            rules.setRevocationEnabled(false);
            try {
                CertPathValidator.getInstance("PKIX").validate(path, rules);
                System.out.println("ok");
            } catch (CertPathValidatorException error) {
                System.out.println("refused: " + error.getMessage());
            }
        }
    }
}
JAVA
mkdir -p rust/src
cat > rust/Cargo.toml <<'TOML'
[package]
name = "check"
version = "0.0.0"
edition = "2021"
[dependencies]
rustls-pki-types = { version = "1", features = ["std"] }
rustls-webpki = { version = "=0.103.17", default-features = false, features = ["ring", "std"] }
[profile.dev]
debug = false
TOML
cat > rust/src/main.rs <<'RS'
use rustls_pki_types::{pem::PemObject, CertificateDer, UnixTime};

fn main() {
    let read = |path: &str| CertificateDer::from_pem_file(path).unwrap();
    let (root, leaf) = (read("root.pem"), read("leaf.pem"));
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
    for name in std::env::args().skip(1) {
        let between = [read(&format!("{name}.pem"))];
        let server = webpki::KeyUsage::server_auth();
        match leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &between, UnixTime::now(), server, None, None) {
            Ok(_) => println!("ok"),
            Err(error) => println!("refused: {error:?}"),
        };
    }
}
RS
(cd rust && cargo build --quiet --target-dir target) >cargo.log 2>&1 || { cat cargo.log >&2; exit 1; }
openssl x509 -in leaf.pem -outform DER -out leaf.der
go version
java -version 2>&1 | head -n 1
openssl version
names=(none dns uri other-uri-excluded dns-with-dot)
row() { # stack, results
    local n=0
    while read -r result; do echo "$1, ${names[$n]}: $result"; n=$((n + 1)); done
}
seen=$(
    go run check.go "${names[@]}" | row Go
    java Check.java "${names[@]}" | row Java
    for name in "${names[@]}"; do openssl verify -CAfile root.pem -untrusted "$name.pem" -purpose sslserver leaf.pem >/dev/null 2>&1 && echo ok || echo refused; done | row OpenSSL
    rust/target/debug/check "${names[@]}" | row rustls-webpki
    venv/bin/python check.py "${names[@]}" | row pyca
)
echo "$seen"
[ "$seen" = "Go, none: ok
Go, dns: ok
Go, uri: ok
Go, other-uri-excluded: ok
Go, dns-with-dot: ok
Java, none: ok
Java, dns: ok
Java, uri: ok
Java, other-uri-excluded: ok
Java, dns-with-dot: ok
OpenSSL, none: ok
OpenSSL, dns: ok
OpenSSL, uri: ok
OpenSSL, other-uri-excluded: ok
OpenSSL, dns-with-dot: ok
rustls-webpki, none: ok
rustls-webpki, dns: ok
rustls-webpki, uri: refused: NameConstraintViolation
rustls-webpki, other-uri-excluded: refused: NameConstraintViolation
rustls-webpki, dns-with-dot: ok
pyca, none: ok
pyca, dns: ok
pyca, uri: refused: unsupported name constraint
pyca, other-uri-excluded: refused: unsupported name constraint
pyca, dns-with-dot: refused: malformed DNS name constraint: .calls.example" ] || changed "other chains are refused"
echo "as described"

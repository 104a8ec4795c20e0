#!/usr/bin/env bash
# Tools: Java's TrustManager, rustls-webpki 0.103.17 (Rust), Go's crypto/x509, OpenSSL, Node.js, pyca/cryptography 46.0.3, GnuTLS 3.7.9 (Debian 12);
#   a bundle with one root that expired yesterday, and a leaf of it that is good for five more days.
# Expected: nobody trusts a root after its end; a leaf that outlives its CA stops to work with it, on each stack.
# Happens: Go, OpenSSL, Node.js, pyca and GnuTLS refuse the leaf. Java and rustls take it: to them a trusted root is a name and a key, and RFC 5280
#   asks for no more (6.1.1). There the old root is trusted for as long as it is in the bundle.
# Hurts: a rotation that was forgotten breaks half of the connections at the CA's end, with "expired" about a leaf that is not, while Java and Rust
#   services go on and health checks by them stay green; and a CA whose key leaked "but has expired since" can still make certificates for them.
# Instead: alert on the end of each CA in a bundle, not of leaves only; let no leaf outlive its CA; take a CA out of the bundle to withdraw it.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    gnutls-bin=3.7.9-2+deb12u7 libgnutls30 libgnutls-dane0 libunbound8 libopts25 libevent-2.1-7 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cryptography==46.0.3
cat > make.py <<'PY'
from datetime import datetime, timedelta, timezone
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

now = datetime.now(timezone.utc)
keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "leaf")}

def make(path, subject, first, last):
    ca = subject == "root"
    name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    builder = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("root")).public_key(keys[subject].public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now + timedelta(days=first)).not_valid_after(now + timedelta(days=last))
        .add_extension(x509.BasicConstraints(ca, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[subject].public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["root"].public_key()), False)
        .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True))
    if not ca:
        builder = (builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False))
    with open(path, "wb") as file:
        file.write(builder.sign(keys["root"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

make("valid.pem", "root", -10, 10)
make("expired.pem", "root", -10, -1)
make("leaf.pem", "leaf", -2, 5)
with open("leaf.key", "wb") as file:
    file.write(keys["leaf"].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
PY
venv/bin/python make.py
cat > check.py <<'PY'
import sys
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
root, leaf = (x509.load_pem_x509_certificate(open(path, "rb").read()) for path in (sys.argv[1], "leaf.pem"))
try:
    PolicyBuilder().store(Store([root])).build_server_verifier(x509.DNSName("localhost")).verify(leaf, [])
except VerificationError:
    sys.exit(1)
PY
cat > check.go <<'GO'
package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
)

func main() {
	text, _ := os.ReadFile("leaf.pem")
	block, _ := pem.Decode(text)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err)
	}
	text, _ = os.ReadFile(os.Args[1])
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "localhost"}); err != nil {
		os.Exit(1)
	}
}
GO
cat > Check.java <<'JAVA'
import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.*;
import javax.net.ssl.*;

public class Check {
    static X509Certificate read(String path) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(path));
    }

    public static void main(String[] arguments) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setCertificateEntry("root", read(arguments[0]));
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(store);
        try {
            ((X509TrustManager) factory.getTrustManagers()[0]).checkServerTrusted(new X509Certificate[] {read("leaf.pem")}, "ECDHE_ECDSA");
        } catch (CertificateException error) {
            System.exit(1);
        }
    }
}
JAVA
cat > check.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';
const socket = connect({ host: 'localhost', port: Number(process.argv[3]), ca: readFileSync(process.argv[2]) }, () => process.exit(0));
socket.on('error', (error) => process.exit(error.code === 'CERT_HAS_EXPIRED' ? 1 : 2));
JS
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
    let (root, leaf) = (read(&std::env::args().nth(1).unwrap()), read("leaf.pem"));
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
    let server = webpki::KeyUsage::server_auth();
    if leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], UnixTime::now(), server, None, None).is_err() {
        std::process::exit(1);
    }
}
RS
(cd rust && cargo build --quiet --target-dir target) >cargo.log 2>&1 || { cat cargo.log >&2; exit 1; }
go build -o check-go check.go
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
openssl s_server -accept "$port" -cert leaf.pem -key leaf.key -quiet >/dev/null 2>&1 &
server=$!
sleep 1
gnutls() { LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" "$work/root/usr/bin/certtool" --verify --load-ca-certificate "$1" --verify-hostname localhost --infile leaf.pem >gnutls.log 2>&1; }
go version
java -version 2>&1 | head -n 1
openssl version
node --version
seen=""
try() {
    local name=$1 line
    shift
    line="$name: valid root $("$@" valid.pem >/dev/null 2>&1 && echo ok || echo refused), expired root $("$@" expired.pem >/dev/null 2>&1 && echo ok || echo refused)"
    echo "$line"
    seen+="$line"$'\n'
}
node_check() { node check.mjs "$1" "$port"; }
openssl_check() { openssl verify -verify_hostname localhost -CAfile "$1" leaf.pem; }
try Go ./check-go
try OpenSSL openssl_check
try Node.js node_check
try pyca venv/bin/python check.py
try GnuTLS gnutls
try Java java Check.java
try rustls-webpki rust/target/debug/check
[ "${seen%$'\n'}" = "Go: valid root ok, expired root refused
OpenSSL: valid root ok, expired root refused
Node.js: valid root ok, expired root refused
pyca: valid root ok, expired root refused
GnuTLS: valid root ok, expired root refused
Java: valid root ok, expired root ok
rustls-webpki: valid root ok, expired root ok" ] || changed "other stacks trust it"
echo "as described"

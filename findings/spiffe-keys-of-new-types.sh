#!/usr/bin/env bash
# Tools: go-spiffe 2.9.0, java-spiffe 0.8.13, spiffe 0.3.2 (Python), spiffe 0.19.0 (Rust), on the JWT keys of a trust domain (JWKS) with one key of
#   P-256 and one of a newer type; for Go also on the whole bundle, with an X.509 authority, as a federation endpoint serves it.
# Expected: as RFC 7517 asks (section 5), a key of a type that a library does not know is passed over, and the others are used.
# Happens: Java refuses the whole set because of an Ed25519 key, which Go, Python and Rust take. Go refuses it because of an ML-DSA key, and
#   then the whole bundle: its X.509 authorities are gone too. Java and Python pass ML-DSA over, Rust lists it.
# Hurts: the trust domain that adds its first key of a new type, as the careful first step of a rotation, makes its bundle unreadable for the
#   partners' services in one language. Their bundle grows old, and at the next change of the CA they lose mTLS as well, while those in another
#   language go on.
# Instead: try each new type of key on every stack of every partner before it goes into the bundle; alert on a bundle that was not renewed within
#   its refresh hint.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CARGO_TARGET_DIR="$work/target"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check spiffe==0.3.2 cryptography==46.0.3
cat > make.py <<'PY'
import json
from base64 import b64encode, urlsafe_b64encode
from datetime import datetime, timedelta, timezone
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

now = datetime.now(timezone.utc)
text = lambda data: urlsafe_b64encode(data).rstrip(b"=").decode()

def ec_key(**more):
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    return key, {"kty": "EC", "crv": "P-256", "x": text(numbers.x.to_bytes(32, "big")), "y": text(numbers.y.to_bytes(32, "big")), **more}

key, authority = ec_key(use="x509-svid")
name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "calls.example")])
certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
    .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=30)).add_extension(x509.BasicConstraints(True, None), True)
    .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
    .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://calls.example")]), False).sign(key, hashes.SHA256()))
authority["x5c"] = [b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
jwt = ec_key(use="jwt-svid", kid="one")[1]
edwards = {"kty": "OKP", "crv": "Ed25519", "x": text(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()), "kid": "two", "use": "jwt-svid"}
quantum = {"kty": "AKP", "alg": "ML-DSA-44", "pub": text(bytes(1312)), "kid": "two", "use": "jwt-svid"}
for name, keys in {"p-256": [jwt], "ed25519": [jwt, edwards], "ml-dsa": [jwt, quantum], "whole": [authority, jwt, edwards], "whole-ml-dsa": [authority, jwt, quantum]}.items():
    with open(name + ".json", "w") as file:
        json.dump({"keys": keys, "spiffe_sequence": 12, "spiffe_refresh_hint": 300}, file)
PY
venv/bin/python make.py
sets=(p-256.json ed25519.json ml-dsa.json)
cat > read.py <<'PY'
import sys
from spiffe import TrustDomain
from spiffe.bundle.jwt_bundle.jwt_bundle import JwtBundle
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        data = file.read()
    try:
        print(f"Python, {path}: JWT keys", " ".join(sorted(JwtBundle.parse(TrustDomain("calls.example"), data).jwt_authorities)))
    except Exception as error:
        print(f"Python, {path}: error")
        print(error, file=sys.stderr)
PY
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

func main() {
	for _, path := range os.Args[1:] {
		bundle, err := spiffebundle.Load(spiffeid.RequireTrustDomainFromString("calls.example"), path)
		if err != nil {
			fmt.Printf("Go, %s: error\n", path)
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		fmt.Printf("Go, %s: X.509 %d, JWT keys", path, len(bundle.X509Authorities()))
		for _, key := range slices.Sorted(maps.Keys(bundle.JWTAuthorities())) {
			fmt.Print(" ", key)
		}
		fmt.Println()
	}
}
GO
(cd go && go mod init read && go get github.com/spiffe/go-spiffe/v2@v2.9.0 && go mod tidy && go build -o ../read .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>read</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>io.spiffe</groupId><artifactId>java-spiffe-core</artifactId><version>0.8.13</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > Read.java <<'JAVA'
import io.spiffe.bundle.jwtbundle.JwtBundle;
import io.spiffe.spiffeid.TrustDomain;
import java.nio.file.*;
import java.util.TreeSet;

public class Read {
    public static void main(String[] paths) throws Exception {
        for (String path : paths) {
            try {
                JwtBundle bundle = JwtBundle.parse(TrustDomain.parse("calls.example"), Files.readAllBytes(Path.of(path)));
                System.out.println("Java, " + path + ": JWT keys " + String.join(" ", new TreeSet<>(bundle.getJwtAuthorities().keySet())));
            } catch (Exception error) {
                System.out.println("Java, " + path + ": error");
                System.err.println(error);
            }
        }
    }
}
JAVA
mkdir -p rust/src
cat > rust/Cargo.toml <<'TOML'
[package]
name = "read"
version = "0.0.0"
edition = "2021"
[dependencies]
spiffe = { version = "=0.19.0", default-features = false, features = ["jwt"] }
[profile.dev]
debug = false
TOML
cat > rust/src/main.rs <<'RS'
use spiffe::{JwtBundle, TrustDomain};

fn main() {
    for path in std::env::args().skip(1) {
        let data = std::fs::read(&path).unwrap();
        match JwtBundle::from_jwt_authorities(TrustDomain::new("calls.example").unwrap(), &data) {
            Ok(bundle) => {
                let mut keys: Vec<String> = bundle.jwt_authorities().map(|key| key.key_id().to_string()).collect();
                keys.sort();
                println!("Rust, {path}: JWT keys {}", keys.join(" "));
            }
            Err(error) => {
                println!("Rust, {path}: error");
                eprintln!("{error}");
            }
        }
    }
}
RS
cargo build --quiet --manifest-path rust/Cargo.toml
seen=$({ ./read "${sets[@]}" whole.json whole-ml-dsa.json; java -cp 'lib/*' Read.java "${sets[@]}"; venv/bin/python read.py "${sets[@]}"; target/debug/read "${sets[@]}"; } 2>errors.log)
echo "$seen"
[ "$seen" = "Go, p-256.json: X.509 0, JWT keys one
Go, ed25519.json: X.509 0, JWT keys one two
Go, ml-dsa.json: error
Go, whole.json: X.509 1, JWT keys one two
Go, whole-ml-dsa.json: error
Java, p-256.json: JWT keys one
Java, ed25519.json: error
Java, ml-dsa.json: JWT keys one
Python, p-256.json: JWT keys one
Python, ed25519.json: JWT keys one two
Python, ml-dsa.json: JWT keys one
Rust, p-256.json: JWT keys one
Rust, ed25519.json: JWT keys one two
Rust, ml-dsa.json: JWT keys one two" ] || { cat errors.log >&2; changed "other keys are read"; }
echo "as described"

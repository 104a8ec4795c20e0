#!/usr/bin/env bash
# Tools: OpenSSL and Java (the versions that run here are printed), pyca/cryptography 46.0.3 (Python), one CA certificate in PKCS12.
# Expected: a password-protected PKCS12 file with a CA's certificate, made by OpenSSL or pyca, loads in Java as a truststore of one entry, or
#   loading it is an error.
# Happens: Java loads the file and finds nothing: size 0, no accepted issuer, no error; a TrustManager made of it trusts nobody. Java counts
#   a certificate without a key only if the bag carries an attribute of its own (trustedKeyUsage), which OpenSSL 3.0 and pyca's usual
#   function do not write. OpenSSL itself shows the certificate in each of the files.
# Hurts: a rotation that writes the truststore with OpenSSL passes its check ("loads, right password"), and the Java service refuses
#   every peer from its next reload on, with a message about trust anchors or paths.
# Instead: write truststores with keytool or pyca's serialize_java_truststore (OpenSSL 3.2 and later: -jdktrust), or hand Java PEM files; check
#   the number of entries as Java sees it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cryptography==46.0.3
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -subj "/CN=Example CA" -days 30 -out ca.pem 2>openssl.log
openssl pkcs12 -export -nokeys -in ca.pem -name ca -caname ca -passout pass:example -out openssl.p12
cat > write.py <<'PY'
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
with open("ca.pem", "rb") as file:
    ca = x509.load_pem_x509_certificate(file.read())
secret = BestAvailableEncryption(b"example")
for path, text in (
    ("pyca.p12", pkcs12.serialize_key_and_certificates(b"ca", None, None, [ca], secret)),
    ("pyca-java.p12", pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(ca, b"ca")], secret)),
):
    with open(path, "wb") as file:
        file.write(text)
PY
venv/bin/python write.py
keytool -importcert -noprompt -storetype PKCS12 -keystore keytool.p12 -storepass example -alias ca -file ca.pem 2>keytool.log
cat > Load.java <<'JAVA'
import java.io.FileInputStream;
import java.security.KeyStore;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

public class Load {
    public static void main(String[] paths) throws Exception {
        for (String path : paths) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            store.load(new FileInputStream(path), "example".toCharArray());
            TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
            factory.init(store);
            System.out.println(store.size() + " entries, " + ((X509TrustManager) factory.getTrustManagers()[0]).getAcceptedIssuers().length + " issuers");
        }
    }
}
JAVA
java -version 2>&1 | head -n 1
openssl version
paths=(openssl.p12 pyca.p12 pyca-java.p12 keytool.p12)
seen=$(paste -d ' ' \
    <(printf '%s:\n' "${paths[@]}") \
    <(for path in "${paths[@]}"; do echo "OpenSSL $(openssl pkcs12 -in "$path" -passin pass:example -nokeys 2>/dev/null | grep -c 'BEGIN CERT') certificate,"; done) \
    <(java Load.java "${paths[@]}" | sed 's/^/Java /'))
echo "$seen"
[ "$seen" = "openssl.p12: OpenSSL 1 certificate, Java 0 entries, 0 issuers
pyca.p12: OpenSSL 1 certificate, Java 0 entries, 0 issuers
pyca-java.p12: OpenSSL 1 certificate, Java 1 entries, 1 issuers
keytool.p12: OpenSSL 1 certificate, Java 1 entries, 1 issuers" ] || changed "other files are empty"
echo "as described"

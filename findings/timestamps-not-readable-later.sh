#!/usr/bin/env bash
# Tools: OpenSSL 3 as the maker of RFC 3161 time stamps over an audit log; OpenSSL, rfc3161-client 1.0.9, rfc3161ng 2.1.3 (Python) and Bouncy
#   Castle 1.82 (Java) as those who check them.
# Expected: a time stamp made while the authority's certificate was valid is good years later: that is what it is for; and a response in
#   which the authority sends its chain along is read by all.
# Happens: once the certificate of the authority has expired, `openssl ts -verify` fails: it checks the chain for now, unless told
#   `-attime`. The others look at the time in the stamp, or at no time. A response with the chain is not read by rfc3161-client at all when
#   OpenSSL wrote the certificates in another order than DER sorts them, which the longer certificate of the authority in front is.
# Hurts: a yearly check of sealed logs, by script with OpenSSL, goes red for everything older than the authority's certificate, and gets
#   switched off; stamps collected for years turn out unreadable in the tool that was to prove them.
# Instead: check with `-attime` of the time in the stamp, after the rest was checked; check each stamp when it comes, with the tool that will
#   have to later; ask without certificates (no `certReq`) and keep chain and revocation lists of the day beside it; stamp anew in time.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check rfc3161-client==1.0.9 rfc3161ng==2.1.3 cryptography==50.0.2
cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.bouncycastle</groupId><artifactId>bcpkix-jdk18on</artifactId><version>1.82</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > certificates.py <<'PY'
from datetime import datetime, timedelta, timezone
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

now = datetime.now(timezone.utc)
named = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
key_root, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
def certificate(name, public, end):
    return x509.CertificateBuilder().subject_name(named(name)).issuer_name(named("root")).public_key(public.public_key()).serial_number(
        x509.random_serial_number()).not_valid_before(now - timedelta(days=700)).not_valid_after(now + end)
root = certificate("root", key_root, timedelta(days=7000)).add_extension(x509.BasicConstraints(True, None), True).sign(key_root, hashes.SHA256())
# The authority's certificate ends in fifteen seconds.
authority = certificate("time stamps of an authority", key, timedelta(seconds=15)).add_extension(
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True).sign(key_root, hashes.SHA256())
pem = serialization.Encoding.PEM
open("root.pem", "wb").write(root.public_bytes(pem))
open("tsa.pem", "wb").write(authority.public_bytes(pem))
open("tsa.key", "wb").write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
PY
for chain in alone chain; do
    { printf '%s\n' '[tsa]' 'default_tsa = it' '[it]' "serial = $work/serial" 'signer_cert = tsa.pem' 'signer_key = tsa.key' 'signer_digest = sha256' \
        'default_policy = 1.2.3.4' 'other_policies = 1.2.3.5' 'digests = sha256' 'ess_cert_id_alg = sha256'; [ "$chain" = alone ] || echo 'certs = root.pem'; } >"$chain.cnf"
done
cat > check.py <<'PY'
import sys, rfc3161ng
from cryptography import x509
from pyasn1.codec.der import decoder
from rfc3161_client import VerifierBuilder, decode_timestamp_response
load = lambda name: open(name, "rb").read()
def client(name):
    response = decode_timestamp_response(load(name))
    pem = x509.load_pem_x509_certificate
    return VerifierBuilder().add_root_certificate(pem(load("root.pem"))).tsa_certificate(pem(load("tsa.pem"))).build().verify_message(response, load("log"))
def ng(name):
    response, _ = decoder.decode(load(name), asn1Spec=rfc3161ng.TimeStampResp())
    return rfc3161ng.check_timestamp(response.time_stamp_token, certificate=load("tsa.pem"), data=load("log"), hashname="sha256")
for library, check in (("rfc3161-client", client), ("rfc3161ng", ng)):
    for chain in ("alone", "chain"):
        try:
            print(f"{sys.argv[1]}, {chain}, {library}: {'good' if check(chain + '.tsr') else 'bad'}")
        except Exception as error:
            print(f"{sys.argv[1]}, {chain}, {library}: refused{', InvalidSetOrdering' if 'InvalidSetOrdering' in str(error) else ''}")
PY
cat > Check.java <<'JAVA'
import java.io.FileInputStream;
import java.nio.file.*;
import java.security.cert.*;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.tsp.TimeStampResponse;

public class Check {
    public static void main(String[] when) throws Exception {
        var authority = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream("tsa.pem"));
        for (String chain : new String[] {"alone", "chain"}) {
            String found = "good";
            try {
                new TimeStampResponse(Files.readAllBytes(Path.of(chain + ".tsr"))).getTimeStampToken().validate(new JcaSimpleSignerInfoVerifierBuilder().build(authority));
            } catch (Exception error) {
                found = "refused, " + error.getMessage();
            }
            System.out.println(when[0] + ", " + chain + ", Bouncy Castle: " + found);
        }
    }
}
JAVA
javac -cp 'jars/*' Check.java
echo "lines of an audit log" >log
openssl ts -query -data log -sha256 -cert -out query.tsq 2>/dev/null
echo 01 >serial
venv/bin/python certificates.py
for chain in alone chain; do openssl ts -reply -queryfile query.tsq -config "$chain.cnf" -out "$chain.tsr" >reply.log 2>&1 || { cat reply.log >&2; exit 1; }; done
made=$(date +%s)
with_openssl() { # when, options
    for chain in alone chain; do
        echo "$1, $chain, OpenSSL: $(openssl ts -verify "${@:2}" -data log -in "$chain.tsr" -CAfile root.pem 2>&1 | grep -q 'Verification: OK' && echo good || echo bad)"
    done
}
seen=$(with_openssl "at once")
sleep 17
seen+=$'\n'$(with_openssl "after the certificate's end"; with_openssl "after it, with -attime" -attime "$made"
    venv/bin/python -W ignore check.py "after the certificate's end"; java -cp 'jars/*:.' Check "after the certificate's end")
echo "$(openssl version | cut -d ' ' -f 1,2), rfc3161-client 1.0.9, rfc3161ng 2.1.3, Bouncy Castle 1.82"
echo "$seen"
[ "$seen" = "at once, alone, OpenSSL: good
at once, chain, OpenSSL: good
after the certificate's end, alone, OpenSSL: bad
after the certificate's end, chain, OpenSSL: bad
after it, with -attime, alone, OpenSSL: good
after it, with -attime, chain, OpenSSL: good
after the certificate's end, alone, rfc3161-client: good
after the certificate's end, chain, rfc3161-client: refused, InvalidSetOrdering
after the certificate's end, alone, rfc3161ng: good
after the certificate's end, chain, rfc3161ng: good
after the certificate's end, alone, Bouncy Castle: good
after the certificate's end, chain, Bouncy Castle: good" ] || changed "other answers than described"
echo "as described"

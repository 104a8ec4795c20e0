#!/usr/bin/env bash
# Tools: OpenSSL 3 (`verify -attime`), Java 17's own PKIX validator (SUN) and Bouncy Castle 1.82, all asked whether certificates were good on 15 June 2025,
#   the day on which they signed an export: of one that was never revoked, one revoked today as its holder left, one revoked today as its key got lost.
# Expected: today's list of revoked certificates (CRL) answers that: it says who is revoked and since when.
# Happens: OpenSSL ("CRL is not yet valid") and Java ("Could not determine revocation status") take no list that was signed after that day, and refuse
#   all three, also the one that was never revoked. With the list of June 2025 they take all three. Bouncy Castle takes today's list, takes who left since, and
#   refuses the lost key; beside the old list the new one counts there, and in the other two the old one.
# Hurts: years later the signature on a patient's record can be checked with none of the lists that the CA offers then, as it offers the newest only; and who
#   kept the list of the day proves with it a signature by a key that is known to be lost.
# Instead: store the list of the day beside each signed export, with a time stamp over both; look also into today's list for keys that were
#   compromised; write down with which validator and which list evidence is to be checked.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat >pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.bouncycastle</groupId><artifactId>bcprov-jdk18on</artifactId><version>1.82</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat >Check.java <<'JAVA'
import java.io.FileInputStream;
import java.security.Security;
import java.security.cert.*;
import java.util.*;

public class Check {
    public static void main(String[] none) throws Exception {
        Security.addProvider(new org.bouncycastle.jce.provider.BouncyCastleProvider());
        var factory = CertificateFactory.getInstance("X.509");
        for (String provider : List.of("SUN", "BC")) for (String list : List.of("then", "now", "both")) {
            System.out.print((provider.equals("BC") ? "Bouncy Castle" : "Java") + ", " + list + ":");
            for (String name : List.of("stays", "left", "lost")) {
                var parameters = new PKIXParameters(Set.of(new TrustAnchor((X509Certificate) factory.generateCertificate(new FileInputStream("ca.pem")), null)));
                parameters.setDate(new GregorianCalendar(2025, Calendar.JUNE, 15).getTime());
                parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(factory.generateCRLs(new FileInputStream(list + ".crl")))));
                var path = factory.generateCertPath(List.of(factory.generateCertificate(new FileInputStream(name + ".pem"))));
                String said = "taken";
                try {
                    CertPathValidator.getInstance("PKIX", provider).validate(path, parameters);
                } catch (CertPathValidatorException error) {
                    said = "refused";
                }
                System.out.print(" " + name + " " + said);
            }
            System.out.println();
        }
    }
}
JAVA
cat >ca.conf <<'CONF'
[ca]
default_ca=it
[it]
database=index
serial=serial
new_certs_dir=.
default_md=sha256
default_crl_days=30
policy=names
[names]
commonName=supplied
[authority]
basicConstraints=critical,CA:true
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[person]
keyUsage=critical,digitalSignature
CONF
: >index
echo 1000 >serial
ca() { openssl ca -batch -notext -config ca.conf -keyfile ca.key "$@" 2>>ca.log; }
for name in ca stays left lost; do
    openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"
    openssl req -new -key "$name.key" -subj "/CN=$name" -out "$name.csr"
    ca $([ "$name" = ca ] && echo "-selfsign -extensions authority" || echo "-cert ca.pem -extensions person") -in "$name.csr" -startdate 20250101000000Z -enddate 20400101000000Z -out "$name.pem"
done
ca -cert ca.pem -gencrl -crl_lastupdate 20250601000000Z -crl_nextupdate 20250701000000Z -out then.crl
ca -cert ca.pem -revoke left.pem -crl_reason affiliationChanged
ca -cert ca.pem -revoke lost.pem -crl_reason keyCompromise
ca -cert ca.pem -gencrl -out now.crl
cat then.crl now.crl >both.crl

openssl version
day=$(date -u -d "2025-06-15" +%s)
seen=$(for list in then now both; do
    echo "OpenSSL, $list:$(for name in stays left lost; do
        openssl verify -attime "$day" -CAfile ca.pem -CRLfile "$list.crl" -crl_check "$name.pem" >/dev/null 2>&1 && echo -n " $name taken" || echo -n " $name refused"
    done)"
done
java -cp 'jars/*' Check.java)
echo "$seen"
[ "$seen" = "OpenSSL, then: stays taken left taken lost taken
OpenSSL, now: stays refused left refused lost refused
OpenSSL, both: stays taken left taken lost taken
Java, then: stays taken left taken lost taken
Java, now: stays refused left refused lost refused
Java, both: stays taken left taken lost taken
Bouncy Castle, then: stays taken left taken lost taken
Bouncy Castle, now: stays taken left taken lost refused
Bouncy Castle, both: stays taken left taken lost refused" ] || changed "others are taken"
echo "as described"

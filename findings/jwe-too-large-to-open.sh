#!/usr/bin/env bash
# Tools: joserfc 1.8.0, Authlib 1.9.10, python-jose 3.5.0, jwcrypto 1.6.1 (Python), go-jose 4.1.9, nimbus-jose-jwt 10.10 and jose4j 0.9.7 (Java).
#   Each seals lines of an audit log as a JWE and opens with the same key, at once, what it has just made.
# Expected: what a library seals it opens, or it refuses to seal it.
# Happens: limits against bombs are looked at when opening only. joserfc seals any size and does not open 64 KB again, Authlib and
#   python-jose not 215 KB; with `"zip": "DEF"` the plaintext may not pass 256,000 bytes in these, 204,800 in jose4j; go-jose refuses more
#   than 250,000 bytes that shrank to a tenth, which audit lines do; Nimbus and jwcrypto end at a length of the ciphertext.
# Hurts: exports, transcripts and logs sealed for the archive are found unreadable when somebody needs them; the test used ten lines. Another
#   library opens them, if the key was not bound to this one.
# Instead: open what was sealed before the source is deleted; seal in pieces, or an archive with age or CMS and not as a JWE; if it has to be
#   a JWE, leave `zip` out, compress before sealing, and raise the limits of each reader on purpose.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check joserfc==1.8.0 authlib==1.9.10 python-jose==3.5.0 jwcrypto==1.6.1
cat > lines.py <<'PY'
for lines in (400, 600, 2000, 4000, 20000, 200000):
    with open(f"log{lines}", "w") as file:
        for n in range(lines):
            file.write(f'{{"action":"read","actor":"agent{n % 50}","call":{n * 7919 % 1000000},"result":"allowed","service":"recordings","ts":{1700000000 + n}}}\n')
PY
python3 lines.py
cat > seal.py <<'PY'
import json, os
from authlib.jose import JsonWebEncryption
from jose import jwe as python_jose
from joserfc import jwe as joserfc
from joserfc.jwk import OctKey
from jwcrypto import jwe as jwcrypto
from jwcrypto.jwk import JWK

key, jwk = bytes(32), {"kty": "oct", "k": "A" * 43}

def with_joserfc(text, header):
    return joserfc.decrypt_compact(joserfc.encrypt_compact(header, text, OctKey.import_key(key)), OctKey.import_key(key)).plaintext

def with_authlib(text, header):
    return JsonWebEncryption().deserialize_compact(JsonWebEncryption().serialize_compact(header, text, jwk), jwk)["payload"]

def with_python_jose(text, header):
    return python_jose.decrypt(python_jose.encrypt(text, key, algorithm="dir", encryption="A256GCM", zip=header.get("zip")), key)

def with_jwcrypto(text, header):
    sealed = jwcrypto.JWE(text, json.dumps(header))
    sealed.add_recipient(JWK(**jwk))
    opened = jwcrypto.JWE()
    opened.deserialize(sealed.serialize(compact=True), JWK(**jwk))
    return opened.payload

for name, library in (("joserfc", with_joserfc), ("Authlib", with_authlib), ("python-jose", with_python_jose), ("jwcrypto", with_jwcrypto)):
    for how, header in (("plain", {}), ("zip", {"zip": "DEF"})):
        seen = []
        for lines in (400, 600, 2000, 4000, 20000, 200000):
            text = open(f"log{lines}", "rb").read()
            try:
                seen.append("opens" if library(text, {"alg": "dir", "enc": "A256GCM", **header}) == text else "differs")
            except Exception:
                seen.append("refuses")
        print(name, how, *seen)
PY
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"
)

func main() {
	key := make([]byte, 32)
	for _, how := range []string{"plain", "zip"} {
		options := &jose.EncrypterOptions{}
		if how == "zip" {
			options.Compression = jose.DEFLATE
		}
		fmt.Print("go-jose ", how)
		for _, lines := range []int{400, 600, 2000, 4000, 20000, 200000} {
			text, _ := os.ReadFile(fmt.Sprint("log", lines))
			encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: key}, options)
			if err != nil {
				panic(err)
			}
			sealed, err := encrypter.Encrypt(text)
			if err != nil {
				panic(err)
			}
			compact, _ := sealed.CompactSerialize()
			read, err := jose.ParseEncrypted(compact, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
			if err != nil {
				panic(err)
			}
			opened, err := read.Decrypt(key)
			switch {
			case err != nil:
				fmt.Print(" refuses")
			case bytes.Equal(opened, text):
				fmt.Print(" opens")
			default:
				fmt.Print(" differs")
			}
		}
		fmt.Println()
	}
}
GO
cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>com.nimbusds</groupId><artifactId>nimbus-jose-jwt</artifactId><version>10.10</version></dependency>
    <dependency><groupId>org.bitbucket.b_c</groupId><artifactId>jose4j</artifactId><version>0.9.7</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>2.0.16</version></dependency>
  </dependencies>
</project>
XML
cat > Seal.java <<'JAVA'
import com.nimbusds.jose.*;
import com.nimbusds.jose.crypto.*;
import java.nio.file.*;
import javax.crypto.spec.SecretKeySpec;
import org.jose4j.jwa.AlgorithmConstraints;
import org.jose4j.jwe.JsonWebEncryption;

public class Seal {
    static String withNimbus(String text, boolean zip) throws Exception {
        var header = new JWEHeader.Builder(JWEAlgorithm.DIR, EncryptionMethod.A256GCM).compressionAlgorithm(zip ? CompressionAlgorithm.DEF : null).build();
        var sealed = new JWEObject(header, new Payload(text));
        sealed.encrypt(new DirectEncrypter(new byte[32]));
        String compact = sealed.serialize();
        try {
            var opened = JWEObject.parse(compact);
            opened.decrypt(new DirectDecrypter(new byte[32]));
            return opened.getPayload().toString().equals(text) ? "opens" : "differs";
        } catch (JOSEException refused) {
            return "refuses";
        }
    }

    static String withJose4j(String text, boolean zip) throws Exception {
        var key = new SecretKeySpec(new byte[32], "AES");
        var sealed = new JsonWebEncryption();
        sealed.setAlgorithmHeaderValue("dir");
        sealed.setEncryptionMethodHeaderParameter("A256GCM");
        if (zip) sealed.enableDefaultCompression();
        sealed.setKey(key);
        sealed.setPayload(text);
        String compact = sealed.getCompactSerialization();
        try {
            var opened = new JsonWebEncryption();
            opened.setAlgorithmConstraints(AlgorithmConstraints.NO_CONSTRAINTS);
            opened.setKey(key);
            opened.setCompactSerialization(compact);
            return opened.getPayload().equals(text) ? "opens" : "differs";
        } catch (org.jose4j.lang.JoseException refused) {
            return "refuses";
        }
    }

    public static void main(String[] none) throws Exception {
        for (boolean nimbus : new boolean[] {true, false})
            for (boolean zip : new boolean[] {false, true}) {
                System.out.print((nimbus ? "Nimbus" : "jose4j") + (zip ? " zip" : " plain"));
                for (int lines : new int[] {400, 600, 2000, 4000, 20000, 200000}) {
                    String text = Files.readString(Path.of("log" + lines));
                    System.out.print(" " + (nimbus ? withNimbus(text, zip) : withJose4j(text, zip)));
                }
                System.out.println();
            }
    }
}
JAVA
(cd go && go mod init seal && go get github.com/go-jose/go-jose/v4@v4.1.9 && go mod tidy && go build -o ../seal .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
echo "joserfc 1.8.0, Authlib 1.9.10, python-jose 3.5.0, jwcrypto 1.6.1, go-jose 4.1.9, nimbus-jose-jwt 10.10, jose4j 0.9.7"
echo "bytes:" $(wc -c log400 log600 log2000 log4000 log20000 log200000 | awk '$2 != "total" { print $1 }')
seen=$(venv/bin/python -W ignore seal.py 2>/dev/null; ./seal; java -cp 'jars/*' Seal.java)
echo "$seen"
[ "$seen" = "joserfc plain opens refuses refuses refuses refuses refuses
joserfc zip opens opens opens refuses refuses refuses
Authlib plain opens opens refuses refuses refuses refuses
Authlib zip opens opens opens refuses refuses refuses
python-jose plain opens opens refuses refuses refuses refuses
python-jose zip opens opens opens refuses refuses refuses
jwcrypto plain opens opens opens opens opens opens
jwcrypto zip opens opens opens opens opens refuses
go-jose plain opens opens opens opens opens opens
go-jose zip opens opens opens refuses refuses refuses
Nimbus plain opens opens opens opens opens opens
Nimbus zip opens opens opens opens refuses refuses
jose4j plain opens opens opens opens opens opens
jose4j zip opens opens refuses refuses refuses refuses" ] || changed "other sizes are opened"
echo "as described"

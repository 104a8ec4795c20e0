#!/usr/bin/env bash
# Tools: crypto11 1.6.2 (Go) and Java 17's SunPKCS11, both over SoftHSM 2.6.1 (Debian 12).
# Expected: a key is renewed in a token by making a second one under the same label, as a name with versions: who asks by the label gets the
#   newest, or an error about this label. Other keys of the token are not touched.
# Happens: crypto11's FindKey gives the first that the module lists, and SoftHSM lists in no order of age: the old key in some tokens, the
#   new one in others, by chance, from the same commands. Java opens the token no more: KeyStore.load fails,
#   so that the keys under other labels are out of reach too. PKCS#11 itself lets labels repeat.
# Hurts: of replicas with a token each one seals with the new key after a renewal and another one with the old, that was to be retired, without
#   a word in a log; the gateway in Java that shares the token does not start again, at its next restart, weeks after the renewal.
# Instead: give each version of a key a label and an ID of its own, name the current one in the configuration, ask by both (crypto11:
#   FindKey(id, label)), and before a renewal open the token with every kind of client that shares it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root tokens
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    softhsm2=2.6.1-2.1 softhsm2-common=2.6.1-2.1 libsofthsm2=2.6.1-2.1 libbotan-2-19 libtspi1 >apt.log 2>&1 ||
    { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/ThalesGroup/crypto11"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// "make": a key for mails and one for calls in each token, but in the first a second one for calls too.
// "find": says of each token which key the label finds, and which the label with the ID of the new one.
func main() {
	for number, name := range os.Args[3:] {
		token := must(crypto11.Configure(&crypto11.Config{Path: os.Args[2], TokenLabel: name, Pin: "1234"}))
		for _, key := range [][2]string{{"mail", "mail"}, {"calls", "old"}, {"calls", "new"}} {
			if os.Args[1] == "make" && (number > 0 || key[1] != "new") {
				must(token.GenerateSecretKeyWithLabel([]byte(key[1]), []byte(key[0]), 256, crypto11.CipherAES))
			}
		}
		for _, id := range [][]byte{nil, []byte("new")} {
			if os.Args[1] == "find" && number > 0 {
				key := must(token.FindKey(id, []byte("calls")))
				fmt.Printf("asked with ID %q: %s\n", id, must(token.GetAttribute(key, crypto11.CkaId)).Value)
			}
		}
	}
}
GO
(cd go && go mod init keys && go get github.com/ThalesGroup/crypto11@v1.6.2 && go mod tidy && go build -p 1 -o ../keys .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
cat > Open.java <<'JAVA'
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;

public class Open {
    public static void main(String[] words) throws Exception {
        for (int slot = 0; slot < 2; slot++) {
            Path file = Path.of("token" + slot + ".cfg");
            Files.writeString(file, "name = token" + slot + "\nlibrary = " + words[0] + "\nslot = " + words[slot + 1] + "\n");
            Provider provider = Security.getProvider("SunPKCS11").configure(file.toString());
            KeyStore store = KeyStore.getInstance("PKCS11", provider);
            String what = slot == 0 ? "before" : "after";
            try {
                store.load(null, "1234".toCharArray());
                System.out.println("Java, " + what + ": mail " + (store.getKey("mail", null) != null) + ", calls " + (store.getKey("calls", null) != null));
            } catch (java.io.IOException failure) {
                System.out.println("Java, " + what + ": " + failure.getMessage() + ", " + failure.getCause().getMessage());
            }
        }
    }
}
JAVA

module="$work/root/usr/lib/softhsm/libsofthsm2.so"
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" SOFTHSM2_CONF="$work/softhsm2.conf"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/tokens" > softhsm2.conf
tokens=()
for number in $(seq 0 20); do
    root/usr/bin/softhsm2-util --module "$module" --init-token --free --label "token$number" --pin 1234 --so-pin 12345678 > init.log
    eval "slot$number=$(sed -n 's/.*reassigned to slot //p' init.log)"
    tokens+=("token$number")
done
./keys make "$module" "${tokens[@]}"
./keys find "$module" "${tokens[@]}" | sort | uniq -c | sed 's/^ *//' > found.log
# shellcheck disable=SC2154
java Open.java "$module" "$slot0" "$slot1" >java.log 2>&1
echo "crypto11 1.6.2, $(java --version | head -1), SoftHSM $(root/usr/bin/softhsm2-util --version)"
sed 's/^/crypto11, tokens: /' found.log
cat java.log
grep -q '^[0-9]* asked with ID "": old$' found.log || changed "the label finds no old key in twenty tokens"
grep -q '^[0-9]* asked with ID "": new$' found.log || changed "the label finds no new key in twenty tokens"
grep -qx '20 asked with ID "new": new' found.log || changed "the ID does not find the new key"
[ "$(cat java.log)" = "Java, before: mail true, calls true
Java, after: load failed, invalid KeyStore state: found multiple secret keys sharing same CKA_LABEL [calls]" ] || changed "another answer of Java"
echo "as described"

#!/usr/bin/env bash
# Tools: pkcs11-tool of OpenSC 0.23.0 with SoftHSM 2.6.1 (Debian 12), beside crypto11 1.6.2 (Go).
# Expected: a secret key that is made in a token after login, said to be sensitive and never extractable, lies on the disk encrypted under
#   the PIN, and is used by nobody who does not give the PIN.
# Happens: pkcs11-tool makes it a public object (CKA_PRIVATE false) unless `--private` is given, though its help says of `--sensitive`
#   that the object cannot be revealed in plaintext. SoftHSM encrypts private objects only: the 32 bytes of the AES key stand in its
#   object file as they are, and every process that may open the token encrypts and decrypts without a PIN. The key is shown as
#   "sensitive, always sensitive, never extractable" all the same. Private keys of key pairs, and secret keys made by crypto11, are encrypted.
# Hurts: who seals recordings or wraps keys by an AES key of a token has the key in clear in the volume, its snapshots and its backups; to
#   change or withhold the PIN protects nothing, and a check of the attributes passes.
# Instead: give `--private` too, and look for CKA_PRIVATE (a listing WITHOUT login must not show the key); a key made without it is to be
#   replaced, and what it sealed sealed anew: it was in each backup.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root tokens
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    softhsm2=2.6.1-2.1 softhsm2-common=2.6.1-2.1 libsofthsm2=2.6.1-2.1 libbotan-2-19 libtspi1 opensc=0.23.0-0.3+deb12u2 opensc-pkcs11=0.23.0-0.3+deb12u2 \
    >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"bytes"
	"crypto/aes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// "make": a key by crypto11. "look": what somebody without the PIN has of the secret keys.
func main() {
	if os.Args[1] == "make" {
		token := must(crypto11.Configure(&crypto11.Config{Path: os.Args[2], TokenLabel: "calls", Pin: "1234"}))
		must(token.GenerateSecretKeyWithLabel([]byte{4}, []byte("crypto11"), 256, crypto11.CipherAES))
		return
	}
	var files []byte
	if err := filepath.WalkDir("tokens", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".object" {
			files = append(files, must(os.ReadFile(path))...)
		}
		return err
	}); err != nil {
		panic(err)
	}
	module := pkcs11.New(os.Args[2])
	if err := module.Initialize(); err != nil {
		panic(err)
	}
	session := must(module.OpenSession(must(module.GetSlotList(true))[0], pkcs11.CKF_SERIAL_SESSION))
	if err := module.FindObjectsInit(session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY)}); err != nil {
		panic(err)
	}
	keys, _, err := module.FindObjects(session, 99)
	if err != nil {
		panic(err)
	}
	if err := module.FindObjectsFinal(session); err != nil {
		panic(err)
	}
	for _, key := range keys {
		label := must(module.GetAttributeValue(session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil)}))[0].Value
		_, err := module.GetAttributeValue(session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
		word, opened, found := []byte("the call of this"), make([]byte, 16), false
		if err := module.EncryptInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_ECB, nil)}, key); err != nil {
			panic(err)
		}
		sealed := must(module.Encrypt(session, word))
		for at := 0; at+32 <= len(files) && !found; at++ {
			must(aes.NewCipher(files[at:at+32])).Decrypt(opened, sealed)
			found = bytes.Equal(opened, word)
		}
		fmt.Printf("without a PIN: %s encrypts; asked for its value: %v; its value in clear in the files: %v\n", label, err, found)
	}
}
GO
(cd go && go mod init look && go get github.com/ThalesGroup/crypto11@v1.6.2 && go mod tidy && go build -p 1 -o ../look .) >go.log 2>&1 || { cat go.log >&2; exit 1; }

module="$work/root/usr/lib/softhsm/libsofthsm2.so"
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" SOFTHSM2_CONF="$work/softhsm2.conf"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/tokens" > softhsm2.conf
root/usr/bin/softhsm2-util --module "$module" --init-token --free --label calls --pin 1234 --so-pin 12345678 >/dev/null
tool() { root/usr/bin/pkcs11-tool --module "$module" --login --pin 1234 "$@" 2>tool.log; }
seen=$(
    tool --keygen --key-type AES:32 --label sensitive --id 01 --sensitive | sed -n 's/ *Access: */pkcs11-tool: /p'
    tool --keygen --key-type AES:32 --label private --id 02 --sensitive --private | sed -n 's/ *Access: */pkcs11-tool with --private: /p'
    tool --keypairgen --key-type EC:prime256v1 --label pair --id 03 >/dev/null
    ./look make "$module"
    echo "with the PIN: $(tool --list-objects --type secrkey | sed -n 's/ *label: *//p' | sort | paste -sd' ')"
    echo "private keys without a PIN: $(root/usr/bin/pkcs11-tool --module "$module" --list-objects --type privkey 2>tool.log | grep -c label || true)"
    ./look look "$module"
)
echo "SoftHSM $(root/usr/bin/softhsm2-util --version), OpenSC 0.23.0, crypto11 1.6.2"
echo "$seen"
[ "$seen" = "pkcs11-tool: sensitive, always sensitive, never extractable, local
pkcs11-tool with --private: sensitive, always sensitive, never extractable, local
with the PIN: crypto11 private sensitive
private keys without a PIN: 0
without a PIN: sensitive encrypts; asked for its value: pkcs11: 0x11: CKR_ATTRIBUTE_SENSITIVE; its value in clear in the files: true" ] || changed "other keys are in clear"
echo "as described"

#!/usr/bin/env bash
# Tools: step-ca 0.30.2 (the authority of github.com/smallstep/certificates, embedded, with its bbolt database).
# Expected: a certificate is renewed by the rules of the day: after the longest duration of the provisioner was lowered from a year to a day,
#   a renewal lasts a day; a name that the policy now denies is not renewed; what came out of a revoked certificate is revoked too.
# Happens: rules are asked of new requests only. The old certificate is renewed for a year more, again and again, with the denied name, and
#   rekeyed (the same for a key that the CA has never seen). Revoking by serial number stops that one certificate: those renewed from it
#   before are renewed on, the rekeyed one too. Only a provisioner that is gone or has `disableRenewal` refuses.
# Hurts: after a policy of short certificates every old one stays long for as long as its holder renews; the name of a workload that moved
#   out goes on being certified; who copied a key renews it once, and the revocation of the certificate in use does not reach them.
# Instead: after tightening duration or names put `disableRenewal` on the old provisioner (or remove it) and issue anew by another one; revoke
#   every serial number of a name, from the database of the CA, not the one that is being served; look for durations above the rule.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > main.go <<'GO'
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/policy"
	"github.com/smallstep/certificates/authority/provisioner"
	"github.com/smallstep/certificates/db"
	"go.step.sm/crypto/jose"
	"go.step.sm/crypto/minica"
)

const desk = "desk.ward.example"

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func show(what string, chain []*x509.Certificate, err error) {
	if err != nil {
		fmt.Println(what + ": refused")
		return
	}
	days := chain[0].NotAfter.Sub(chain[0].NotBefore).Round(time.Hour).Hours() / 24
	fmt.Printf("%s: %s for %.0f days\n", what, chain[0].DNSNames[0], days)
}

func main() {
	ca := must(minica.New())
	key := must(jose.GenerateJWK("EC", "P-256", "ES256", "sig", "", 0))
	public := key.Public()
	database := must(db.New(&db.Config{Type: "bbolt", DataSource: "authority.db"}))
	start := func(name string, days int, renew bool, denied ...string) *authority.Authority {
		longest, shortest, disabled := provisioner.Duration{Duration: time.Duration(days) * 24 * time.Hour}, provisioner.Duration{Duration: time.Minute}, !renew
		rules := &config.AuthConfig{Provisioners: provisioner.List{&provisioner.JWK{Type: "JWK", Name: name, Key: &public, Claims: &provisioner.Claims{
			MinTLSDur: &shortest, MaxTLSDur: &longest, DefaultTLSDur: &longest, DisableRenewal: &disabled}}}}
		if len(denied) > 0 {
			rules.Policy = &policy.Options{X509: &policy.X509PolicyOptions{DeniedNames: &policy.X509NameOptions{DNSDomains: denied}}}
		}
		return must(authority.NewEmbedded(authority.WithConfig(&config.Config{DNSNames: []string{"ca.example"}, AuthorityConfig: rules}),
			authority.WithX509RootCerts(ca.Root), authority.WithX509Signer(ca.Intermediate, ca.Signer), authority.WithDatabase(database), authority.WithQuietInit()))
	}
	tokens := 0
	issue := func(by *authority.Authority, name string) ([]*x509.Certificate, error) {
		tokens++
		now := time.Now()
		signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key.Key}, new(jose.SignerOptions).WithType("JWT").WithHeader("kid", key.KeyID)))
		token := must(jose.Signed(signer).Claims(jose.Claims{ID: fmt.Sprint("token-", tokens), Subject: name, Issuer: "calls", Audience: jose.Audience{"https://ca.example/1.0/sign"},
			NotBefore: jose.NewNumericDate(now.Add(-time.Minute)), IssuedAt: jose.NewNumericDate(now), Expiry: jose.NewNumericDate(now.Add(4 * time.Minute))}).
			Claims(map[string]any{"sans": []string{name}}).CompactSerialize())
		pair := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		request := must(x509.ParseCertificateRequest(must(x509.CreateCertificateRequest(rand.Reader,
			&x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, pair))))
		ctx := provisioner.NewContextWithMethod(context.Background(), provisioner.SignMethod)
		allowed, err := by.Authorize(ctx, token)
		if err != nil {
			return nil, err
		}
		return by.SignWithContext(ctx, request, provisioner.SignOptions{}, allowed...)
	}

	before := start("calls", 365, true)
	old, err := issue(before, desk)
	show("issued by the old rules", old, err)

	after := start("calls", 1, true, desk)
	other, err := issue(after, "bed.ward.example")
	show("by the new rules, another name", other, err)
	denied, err := issue(after, desk)
	show("by the new rules, the denied name", denied, err)
	renewed, err := after.Renew(old[0])
	show("by the new rules, renewed", renewed, err)
	rekeyed, err := after.Rekey(renewed[0], must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public())
	show("by the new rules, rekeyed", rekeyed, err)

	err = after.Revoke(provisioner.NewContextWithMethod(context.Background(), provisioner.RevokeMethod),
		&authority.RevokeOptions{Serial: old[0].SerialNumber.String(), Reason: "copied", PassiveOnly: true, MTLS: true, Crt: old[0]})
	if err != nil {
		panic(err)
	}
	for what, certificate := range map[string]*x509.Certificate{"the revoked one": old[0], "the renewed one": renewed[0], "the rekeyed one": rekeyed[0]} {
		again, err := after.Renew(certificate)
		show("after the revocation, "+what, again, err)
	}
	again, err := start("calls", 1, false).Renew(rekeyed[0])
	show("with disableRenewal", again, err)
	again, err = start("others", 1, true).Renew(rekeyed[0])
	show("with another provisioner", again, err)
}
GO
{ go mod init renew && go get github.com/smallstep/certificates@v0.30.2 && go mod tidy && nice -n 15 go build -p 1 -o renew .; } >go.log 2>&1 || { cat go.log >&2; exit 1; }
seen=$(./renew 2>renew.log | sort)
echo "step-ca 0.30.2"
echo "$seen"
[ "$seen" = "after the revocation, the rekeyed one: desk.ward.example for 365 days
after the revocation, the renewed one: desk.ward.example for 365 days
after the revocation, the revoked one: refused
by the new rules, another name: bed.ward.example for 1 days
by the new rules, rekeyed: desk.ward.example for 365 days
by the new rules, renewed: desk.ward.example for 365 days
by the new rules, the denied name: refused
issued by the old rules: desk.ward.example for 365 days
with another provisioner: refused
with disableRenewal: refused" ] || changed "other renewals than described"
echo "as described"

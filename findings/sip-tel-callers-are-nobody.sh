#!/usr/bin/env bash
# Tools: sipgo 1.7.3 (Go), sip.js 0.21.2, jssip 3.13.8, drachtio-srf 5.0.29 (Node.js), sippy 2.5.0, beside sipmessage 0.7.1 (Python), on calls whose From
#   is a tel: URI, as RFC 3261 allows and gateways to the telephone network send.
# Expected: the number is the user of the address, with its phone-context where it is a local one; or the call is refused with an error.
# Happens: in sipgo user and host are empty, without error: all such callers are one. sip.js and jssip read no message at all, jssip without a word.
#   drachtio-srf has the number and no phone-context, so that 110 of Germany and 110 of another country are one. sippy raises ValueError.
#   sipmessage reads all.
# Hurts: whatever goes by the caller: the list of who does not want to be recorded, the pseudonym in reports, a hold or an erasure by number, the
#   count of calls: either all of them are meant or none, and with sip.js and jssip the call is not there.
# Instead: take the number from the text of the header where the scheme is tel; keep phone-context as part of the key; refuse an empty key; have the
#   gateway or proxy rewrite tel: to sip:…;user=phone before the recorder sees it.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sippy==2.5.0 sipmessage==0.7.1
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund sip.js@0.21.2 jssip@3.13.8 drachtio-srf@5.0.29
cat > read.py <<'PY'
import sipmessage
from sippy.SipURL import SipURL
for text in ("tel:+4930123456", "tel:110;phone-context=+49"):
    try:
        seen = f"user {SipURL(text).username}"
    except ValueError as error:
        seen = "ValueError"
    print(f"sippy {text}: {seen}")
    uri = sipmessage.URI.parse(text)
    print(f"sipmessage {text}: user {uri.user}, {dict(uri.parameters)}")
PY
cat > read.mjs <<'JS'
import { createRequire } from 'node:module';
import { Parser } from 'sip.js/lib/core/messages/parser.js';
const require = createRequire(import.meta.url);
const jssip = require('jssip/lib/Parser');
const drachtio = require('drachtio-srf');
const call = from => ['INVITE sip:queue@example.org SIP/2.0', 'Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1', `From: <${from}>;tag=1`, 'To: <sip:queue@example.org>',
  'Call-ID: 1', 'CSeq: 1 INVITE', 'Max-Forwards: 70', 'Contact: <sip:gateway@192.0.2.1>', 'Content-Length: 0', '', ''].join('\r\n');
for (const from of ['sip:+4930123456@example.org', 'tel:+4930123456', 'tel:110;phone-context=+49']) {
  const said = [];
  const log = { debug() {}, warn: text => said.push(text), error: text => said.push(text) };
  const words = message => message === undefined ? 'no message' : `user ${message.from.uri.user}`;
  console.log(`sip.js ${from}: ${[words(Parser.parseMessage(call(from), log)), ...said].join(', ')}`);
  console.log(`jssip ${from}: ${words(jssip.parseMessage(call(from), { _configuration: {} }))}`);
  const { user, number, context, params } = drachtio.parseUri(from);
  console.log(`drachtio-srf ${from}: ${number ? `number ${number}, context ${context}, ${JSON.stringify(params)}` : `user ${user}`}`);
}
JS
cat > go.mod <<'MOD'
module example
go 1.26
require github.com/emiago/sipgo v1.7.3
MOD
cat > main.go <<'GO'
package main

import (
	"fmt"
	"strings"

	"github.com/emiago/sipgo/sip"
)

func main() {
	for _, from := range []string{"sip:+4930123456@example.org", "tel:+4930123456", "tel:110;phone-context=+49"} {
		text := strings.Join([]string{"INVITE sip:queue@example.org SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1", "From: <" + from + ">;tag=1",
			"To: <sip:queue@example.org>", "Call-ID: 1", "CSeq: 1 INVITE", "Max-Forwards: 70", "Contact: <sip:gateway@192.0.2.1>", "Content-Length: 0", "", ""}, "\r\n")
		message, err := sip.NewParser().ParseSIP([]byte(text))
		if err != nil {
			fmt.Printf("sipgo %s: %v\n", from, err)
			continue
		}
		address := message.(*sip.Request).From().Address
		fmt.Printf("sipgo %s: user %q, host %q, error %v\n", from, address.User, address.Host, err)
	}
}
GO
export GOMODCACHE="$work/modules" GOFLAGS=-mod=mod
go mod tidy >go.log 2>&1 || { cat go.log >&2; exit 1; }
seen=$(go run .; node read.mjs; venv/bin/python read.py)
echo "$seen"
[ "$seen" = 'sipgo sip:+4930123456@example.org: user "+4930123456", host "example.org", error <nil>
sipgo tel:+4930123456: user "", host "", error <nil>
sipgo tel:110;phone-context=+49: user "", host "", error <nil>
sip.js sip:+4930123456@example.org: user +4930123456
jssip sip:+4930123456@example.org: user +4930123456
drachtio-srf sip:+4930123456@example.org: user +4930123456
sip.js tel:+4930123456: no message, error parsing header '"'From'"'
jssip tel:+4930123456: no message
drachtio-srf tel:+4930123456: number +4930123456, context null, {}
sip.js tel:110;phone-context=+49: no message, error parsing header '"'From'"'
jssip tel:110;phone-context=+49: no message
drachtio-srf tel:110;phone-context=+49: number 110, context null, {}
sippy tel:+4930123456: ValueError
sipmessage tel:+4930123456: user +4930123456, {}
sippy tel:110;phone-context=+49: ValueError
sipmessage tel:110;phone-context=+49: user 110, {'"'phone-context': '+49'"'}' ] || changed "callers are read otherwise"
echo "as described"

#!/usr/bin/env bash
# Tools: mailparser 3.14.2 and postal-mime 4.0.0 (Node.js), go-message 0.18.2 (Go), Python's email package, on the Date header of a mail.
# Expected: a header that RFC 5322 allows is read alike, or a parser says that it cannot read it.
# Happens: mailparser returns the present time, as an ordinary date, for a Date that it cannot read (here with the
#   zone A, allowed as an old form), so that the same mail gets a newer date every time it is read. go-message (as Go's net/mail)
#   takes the zone EST or PDT for UTC, without error: five and seven hours off. Python returns a time without zone, postal-mime the text.
# Hurts: a retention period that counts from the Date begins anew at every pass and never ends; around midnight a mail falls into
#   another day, month or year of the retention table, by which service read it.
# Instead: let retention count from the time of receipt that your own server stamped; take the Date header as text, and a Date that
#   lies within seconds of "now" while an old mail is read as "unreadable".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

npm init --yes >/dev/null
npm install --silent --no-audit --no-fund mailparser@3.14.2 postal-mime@4.0.0
cat > read.mjs <<'JS'
import PostalMime from 'postal-mime';
import { simpleParser } from 'mailparser';
const mail = `Date: ${process.argv[2]}\r\nFrom: desk@example.org\r\n\r\ntext\r\n`;
const show = (date) => (Math.abs(new Date(date) - Date.now()) < 60e3 ? 'NOW' : isNaN(new Date(date)) ? 'the text itself' : new Date(date).toISOString().slice(0, 19));
console.log('  mailparser:', show((await simpleParser(mail)).date));
const { date } = await PostalMime.parse(mail);
console.log('  postal-mime:', date === process.argv[2] ? 'the text itself' : show(date));
JS
cat > read.py <<'PY'
import sys
from datetime import timezone
from email.utils import parsedate_to_datetime
try:
    date = parsedate_to_datetime(sys.argv[1])
    print("  Python:", f"{date.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}" if date.tzinfo else "a time without zone")
except ValueError:
    print("  Python: error")
PY
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-message/mail"
)

func main() {
	var header mail.Header
	header.Set("Date", os.Args[1])
	if date, err := header.Date(); err != nil {
		fmt.Println("  go-message: error")
	} else {
		fmt.Println("  go-message:", date.UTC().Format("2006-01-02T15:04:05"))
	}
}
GO
(cd go && go mod init read && go get github.com/emersion/go-message@v0.18.2 && go mod tidy && go build -o ../read .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
python3 --version
seen=""
for date in "Thu, 31 Dec 2020 23:30:00 -0500" "Thu, 31 Dec 2020 23:30:00 EST" "Thu, 31 Dec 2020 23:30:00 A"; do
    block="$date"$'\n'$(node read.mjs "$date"; python3 read.py "$date"; ./read "$date")
    echo "$block"
    seen+="$block"$'\n'
done
want="Thu, 31 Dec 2020 23:30:00 -0500
  mailparser: 2021-01-01T04:30:00
  postal-mime: 2021-01-01T04:30:00
  Python: 2021-01-01T04:30:00
  go-message: 2021-01-01T04:30:00
Thu, 31 Dec 2020 23:30:00 EST
  mailparser: 2021-01-01T04:30:00
  postal-mime: 2021-01-01T04:30:00
  Python: 2021-01-01T04:30:00
  go-message: 2020-12-31T23:30:00
Thu, 31 Dec 2020 23:30:00 A
  mailparser: NOW
  postal-mime: the text itself
  Python: a time without zone
  go-message: error
"
[ "$seen" = "$want" ] || changed "other dates than described"
echo "as described"

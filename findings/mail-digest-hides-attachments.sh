#!/usr/bin/env bash
# Tools: mailparser 3.14.2 and postal-mime 4.0.0 (Node.js), enmime 2.3.0 and go-message 0.18.2 (Go), mail-parser 0.11.9 and mailparse 0.18.0 (Rust),
#   Python's email package, on a digest (multipart/digest) of two mails, one of them with a report attached.
# Expected: the parts of a digest are mails, as RFC 2046 says of parts without a type of their own; a search for attachments goes into them as
#   it goes into a forwarded mail.
# Happens: Python, postal-mime and Rust's mail-parser find the report. mailparser, which finds it in the same mails forwarded in multipart/mixed, and
#   go-message take the parts for plain text: the report is base64 in the text. enmime has an empty text and no attachment in both cases,
#   without an error; the mails are in OtherParts, those of a digest without a type. mailparse says rightly that they are mails, and opens none.
# Hurts: the journal of a shared mailbox or list sent as a daily digest is archived without the names, dates and attachments in it: a hold by
#   sender, a scan for card numbers in attachments and a deletion by person pass it by.
# Instead: treat each part of multipart/digest that has no Content-Type as message/rfc822 before it is parsed, and count mails by their From.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC CARGO_TARGET_DIR="$work/target"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > make.py <<'PY'
first = """From: ann@example.org
Subject: first
Date: Sun, 29 Nov 2026 08:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="inner"

--inner
Content-Type: text/plain

first text
--inner
Content-Type: application/pdf; name="report.pdf"
Content-Disposition: attachment; filename="report.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQK
--inner--
"""
second = """From: bob@example.org
Subject: second
Date: Sun, 29 Nov 2026 09:00:00 +0000

second text
"""
for name, kind, head in (("digest", "digest", ""), ("forwarded", "mixed", "Content-Type: message/rfc822\n")):
    text = (f'From: desk@example.org\nSubject: {name}\nDate: Sun, 29 Nov 2026 10:00:00 +0000\nMIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary="outer"\n\n'
        + "".join(f"--outer\n{head}\n{mail}\n" for mail in (first, second)) + "--outer--\n")
    with open(name + ".eml", "w", newline="\r\n") as file:
        file.write(text)
PY
python3 make.py
cat > read.py <<'PY'
import email.policy, sys
with open(sys.argv[1], "rb") as file:
    mail = email.message_from_binary_file(file, policy=email.policy.default)
print("Python: parts", " ".join(part.get_content_type() for part in mail.iter_parts()), "| report", "found" if any(part.get_filename() == "report.pdf" for part in mail.walk()) else "not found")
PY
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund mailparser@3.14.2 postal-mime@4.0.0
cat > read.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { simpleParser } from 'mailparser';
import PostalMime from 'postal-mime';
const raw = readFileSync(process.argv[2]);
const say = (name, attachments, text) => console.log(`${name}: attachments ${attachments.length} | report ${attachments.some((a) => a.filename === 'report.pdf') ? 'found' : (text ?? '').includes('JVBERi0') ? 'as base64 in the text' : 'not found'}`);
const mail = await simpleParser(raw);
let { attachments } = mail;
for (const one of attachments.filter((a) => a.contentType === 'message/rfc822')) attachments = attachments.concat((await simpleParser(one.content)).attachments);
say('mailparser', attachments, mail.text);
const other = await PostalMime.parse(raw);
say('postal-mime', other.attachments, other.text);
JS
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-message"
	"github.com/jhillyerd/enmime/v2"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	envelope, err := enmime.ReadEnvelope(file)
	fmt.Printf("enmime: text of %d characters, attachments %d, other parts %d, parts ", len(envelope.Text), len(envelope.Attachments), len(envelope.OtherParts))
	for part := envelope.Root.FirstChild; part != nil; part = part.NextSibling {
		fmt.Printf("%q ", part.ContentType)
	}
	fmt.Println("| error", err)
	file.Seek(0, 0)
	mail, err := message.Read(file)
	if err != nil {
		panic(err)
	}
	fmt.Print("go-message: parts")
	mail.Walk(func(path []int, part *message.Entity, err error) error {
		kind, _, _ := part.Header.ContentType()
		if len(path) == 1 {
			fmt.Print(" ", kind)
		}
		return err
	})
	fmt.Println()
}
GO
(cd go && go mod init read && go get github.com/emersion/go-message@v0.18.2 github.com/jhillyerd/enmime/v2@v2.3.0 && go mod tidy && go build -o ../read .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
mkdir -p rust/src
cat > rust/Cargo.toml <<'TOML'
[package]
name = "digest"
version = "0.0.0"
edition = "2021"
[dependencies]
mail-parser = "=0.11.9"
mailparse = "=0.18.0"
[profile.dev]
debug = false
TOML
cat > rust/src/main.rs <<'RS'
use mail_parser::{Message, MessageParser, MimeHeaders};

fn has_report(mail: &Message) -> bool {
    mail.attachments().any(|part| part.attachment_name() == Some("report.pdf") || part.message().is_some_and(has_report))
}

fn main() {
    let raw = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let mail = MessageParser::default().parse(&raw).unwrap();
    println!("mail-parser: attachments {} | report {}", mail.attachment_count(), if has_report(&mail) { "found" } else { "not found" });
    let mail = mailparse::parse_mail(&raw).unwrap();
    let parts: Vec<String> = mail.subparts.iter().map(|part| format!("{} with {} parts", part.ctype.mimetype, part.subparts.len())).collect();
    println!("mailparse: {}", parts.join(", "));
}
RS
cargo build --quiet --manifest-path rust/Cargo.toml
seen=$(for name in forwarded digest; do
    echo "$name"
    python3 read.py "$name.eml"
    node read.mjs "$name.eml"
    ./read "$name.eml"
    target/debug/digest "$name.eml"
done)
echo "$seen"
[ "$seen" = "forwarded
Python: parts message/rfc822 message/rfc822 | report found
mailparser: attachments 3 | report found
postal-mime: attachments 1 | report found
enmime: text of 0 characters, attachments 0, other parts 2, parts \"message/rfc822\" \"message/rfc822\" | error <nil>
go-message: parts message/rfc822 message/rfc822
mail-parser: attachments 2 | report found
mailparse: message/rfc822 with 0 parts, message/rfc822 with 0 parts
digest
Python: parts message/rfc822 message/rfc822 | report found
mailparser: attachments 0 | report as base64 in the text
postal-mime: attachments 1 | report found
enmime: text of 0 characters, attachments 0, other parts 2, parts \"\" \"\" | error <nil>
go-message: parts text/plain text/plain
mail-parser: attachments 2 | report found
mailparse: message/rfc822 with 0 parts, message/rfc822 with 0 parts" ] || changed "the parts are read otherwise"
echo "as described"

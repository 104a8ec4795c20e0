#!/usr/bin/env bash
# Tools: sieve-rs 0.7.3 (Rust, the mail filter of Stalwart), beside Pigeonhole 0.5.19 (Debian 12: dovecot-sieve 2.3.19.1+dfsg1-2.1+deb12u7, unpacked, not
#   installed), the filter of Dovecot. One Sieve script (RFC 5228), one mail.
# Expected: `keep` puts the mail into the inbox, whatever follows; only the keep that nobody wrote is given up for redirect, fileinto and
#   discard. Each redirect is sent. i;ascii-numeric takes the leading digits, and what begins with none is greater than any number.
# Happens: in sieve-rs a later redirect, fileinto or discard takes the written keep back: the mail is forwarded or filed, or gone, and
#   nothing is in the inbox. `keep` as the last line works. Of several redirects the first is sent, the others are dropped
#   without an error, and the mail is not kept for them (max_redirects is 1 if not set). By number "10 (high)" is not over 9 and "none" is
#   not over any, as both count as nought.
# Hurts: a script moved over from Dovecot, "keep a copy, then forward to the doctor on duty", deletes the copy; of two on duty one hears
#   nothing; a rule for mails of high priority or risk, or for those without a number, lets them pass.
# Instead: write `keep` last, or `redirect :copy` and `fileinto :copy`, which work in both; set max_redirects; run the scripts with mails of your
#   own through both filters before moving, and compare the actions.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root src
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    dovecot-sieve=1:2.3.19.1+dfsg1-2.1+deb12u7 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
cat > Cargo.toml <<'TOML'
[package]
name = "filter"
version = "0.1.0"
edition = "2021"

[dependencies]
sieve-rs = "=0.7.3"
TOML
cat > src/main.rs <<'RUST'
use sieve::{Compiler, Event, Input, Recipient, Runtime};
use std::sync::Arc;

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let script = Compiler::new().compile(&std::fs::read(&paths[0]).unwrap()).unwrap();
    let mail = std::fs::read(&paths[1]).unwrap();
    let runtime = Runtime::new();
    let mut filter = runtime.filter(&mail);
    let mut input = Input::script("script", Arc::new(script));
    let mut did = Vec::new();
    while let Some(event) = filter.run(input) {
        match event.unwrap() {
            Event::Keep { .. } => did.push("inbox".to_string()),
            Event::FileInto { folder, .. } => did.push(folder),
            Event::SendMessage { recipient: Recipient::Address(address), .. } => did.push(address),
            Event::Discard => {}
            other => panic!("{other:?}"),
        }
        input = Input::True;
    }
    did.sort();
    println!("{}", did.join(", "));
}
RUST
cat > run.py <<'PY'
import os, re, subprocess

here = os.getcwd()
user, group = (65534, 65534) if os.getuid() == 0 else (os.getuid(), os.getgid())
os.mkdir("home")
os.chown("home", user, group)
# Settings by environment, as Dovecot's own master process hands them on; no service is started.
settings = {"DOVECONF_ENV": "1", "USER": "calls", "HOME": here + "/home", "BASE_DIR": here + "/run", "MAIL_UID": str(user), "MAIL_GID": str(group),
    "FIRST_VALID_UID": "0", "FIRST_VALID_GID": "0", "PROTOCOLS": "", "STATS_WRITER_SOCKET_PATH": "", "MAIL_PLUGIN_DIR": here + "/root/usr/lib/dovecot/modules",
    "MAIL_LOCATION": f"maildir:{here}/home/mail", "LD_LIBRARY_PATH": f"{here}/root/usr/lib/dovecot:{here}/root/usr/lib/x86_64-linux-gnu", "PATH": os.environ["PATH"]}

def run(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout

def pigeonhole():
    said = run("root/usr/bin/sieve-test", "-f", "erika@example.org", "-r", "calls@example.org", "script", "mail", env=settings)
    assert "Performed actions" in said, said
    did = re.findall(r"store message in folder: (\S+)|redirect message to: <(\S+)>", said)
    return ", ".join(sorted((folder or address).replace("INBOX", "inbox") for folder, address in did))

def compare(label, script, priority="10 (high)"):
    with open("script", "w") as file:
        file.write('require ["fileinto", "copy", "relational", "comparator-i;ascii-numeric"];\n' + script)
    with open("mail", "w", newline="") as file:
        file.write(f"From: Erika Muster <erika@example.org>\r\nTo: calls@example.org\r\nSubject: complaint\r\nX-Priority: {priority}\r\n\r\nHello.\r\n")
    print(f"{label}: Pigeonhole {pigeonhole() or 'nothing'}; sieve-rs {run('target/release/filter', 'script', 'mail').strip() or 'nothing'}")

compare("keep, redirect", 'keep; redirect "duty@example.org";')
compare("redirect, keep", 'redirect "duty@example.org"; keep;')
compare("keep, redirect :copy", 'keep; redirect :copy "duty@example.org";')
compare("keep, fileinto", 'keep; fileinto "complaints";')
compare("keep, discard", "keep; discard;")
compare("redirect to two", 'redirect "duty@example.org"; redirect "second@example.org";')
over = 'if header :value "gt" :comparator "i;ascii-numeric" "x-priority" "9" { fileinto "high"; }'
for priority in ("10", "10 (high)", "none"):
    compare(f"priority {priority} over 9", over, priority)
PY
nice cargo build --quiet --release >cargo.log 2>&1 || { cat cargo.log >&2; exit 1; }
echo "sieve-rs $(cargo metadata --format-version 1 | python3 -c 'import json, sys; print(next(p["version"] for p in json.load(sys.stdin)["packages"] if p["name"] == "sieve-rs"))')"
seen=$(python3 run.py)
echo "$seen"
[ "$seen" = "keep, redirect: Pigeonhole duty@example.org, inbox; sieve-rs duty@example.org
redirect, keep: Pigeonhole duty@example.org, inbox; sieve-rs duty@example.org, inbox
keep, redirect :copy: Pigeonhole duty@example.org, inbox; sieve-rs duty@example.org, inbox
keep, fileinto: Pigeonhole complaints, inbox; sieve-rs complaints
keep, discard: Pigeonhole inbox; sieve-rs nothing
redirect to two: Pigeonhole duty@example.org, second@example.org; sieve-rs duty@example.org
priority 10 over 9: Pigeonhole high; sieve-rs high
priority 10 (high) over 9: Pigeonhole high; sieve-rs inbox
priority none over 9: Pigeonhole high; sieve-rs inbox" ] || changed "other actions are taken"
echo "as described"

#!/usr/bin/env bash
# Tool: rsyslog 8.2302.0 (Debian 12), its imfile input over an audit log: one JSON record a line, and a second file whose records take several lines
#   (`startmsg.regex`).
# Expected: each record that is written reaches the server of logs whole: after the file was emptied in place (logrotate's `copytruncate`) too, when it is long,
#   and when it is the last one for now.
# Happens: with the defaults none of the three. In an emptied file nothing is read until it is longer than it was before; what lies up to that
#   place never is. Of a record of 20,000 characters 8,096 arrive, no longer JSON, the rest is dropped. The last record of several lines waits
#   for the next one, and is not sent when rsyslog stops either. Nothing is said in its own log.
# Hurts: each rotation takes a day's first entries out of the evidence (as many as the day before had); who listened to the last call of the day is known the next
#   morning, or never; long entries, those that list many records, cannot be read.
# Instead (tried here): reopenOnTruncate="on", global(maxMessageSize=…) above the longest record, readTimeout with startmsg.regex; rotate by rename, not by
#   copytruncate; number the records and let the receiver look for gaps.
set -euo pipefail
work=$(mktemp -d)
daemon=""
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

chmod 755 .
apt-get download -q rsyslog libestr0 libfastjson4 >apt.log 2>&1 || { cat apt.log >&2; exit 1; }
for file in *.deb; do dpkg-deb -x "$file" root; done
libraries="$work/root/usr/lib/x86_64-linux-gnu"
export LD_LIBRARY_PATH="$libraries"
root/usr/sbin/rsyslogd -v | head -n 1 | cut -d ' ' -f 1,3

run() { # name, settings of the whole, of the input, of the input of several lines
    mkdir "$1"
    cat >"$1.conf" <<CONF
global(workDirectory="$work/$1" $2)
module(load="imfile" mode="polling" pollingInterval="1")
template(name="raw" type="string" string="%msg%\n")
input(type="imfile" file="$work/$1/audit.log" tag="audit" ruleset="one" $3)
input(type="imfile" file="$work/$1/lines.log" tag="lines" ruleset="many" startmsg.regex="^20" $4)
ruleset(name="one") { action(type="omfile" file="$work/$1/sent" template="raw") }
ruleset(name="many") { action(type="omfile" file="$work/$1/sent-many" template="raw") }
CONF
    record() { printf '{"number":%s,"who":"agent"}\n' "$@" >>"$name/audit.log"; }
    name=$1
    record 1 2 3 4 5
    printf '2026-11-29 call 1\n  heard by a\n2026-11-29 call 2\n  heard by b\n' >"$name/lines.log"
    root/usr/sbin/rsyslogd -n -f "$name.conf" -i "$work/$name/pid" -M "$libraries/rsyslog" >"$name.log" 2>&1 &
    daemon=$!
    sleep 6
    : >"$name/audit.log" # as copytruncate does
    record 6 7
    sleep 5
    record 8 9 10 11 12
    sleep 5
    python3 -c 'print("{\"number\":13,\"calls\":\"" + "x" * 20000 + "\"}")' >>"$name/audit.log"
    sleep 5
    kill "$daemon"
    wait "$daemon" || true
    daemon=""
    echo "$name: numbers $(grep -o '"number":[0-9]*' "$name/sent" | cut -d : -f 2 | tr '\n' ' ')- longest $(awk '{ if (length > most) most = length } END { print most }' "$name/sent") of 20024"
    echo "$name: $(grep -c 'call' "$name/sent-many") of 2 records of several lines, said by rsyslog: $(grep -c 'audit.log\|lines.log' "$name.log" || true) lines"
}
seen=$(run defaults "" "" ""; run settings 'maxMessageSize="64k"' 'reopenOnTruncate="on"' 'readTimeout="2"')
echo "$seen"
[ "$seen" = "defaults: numbers 1 2 3 4 5 11 12 13 - longest 8096 of 20024
defaults: 1 of 2 records of several lines, said by rsyslog: 0 lines
settings: numbers 1 2 3 4 5 6 7 8 9 10 11 12 13 - longest 20024 of 20024
settings: 2 of 2 records of several lines, said by rsyslog: 0 lines" ] || changed "other records are sent"
echo "as described"

#!/usr/bin/env bash
# Tool: bogofilter 1.2.5 (Debian 12, unpacked, not installed), the spam filter that learns, with each of its stores (SQLite, Berkeley DB), beside spamprobe 1.4d.
# Expected: a mail that is erased can be unlearnt (`-N` for a wanted mail, `-S` for spam), after which its words are out of the list; at the latest after the
#   maintenance of the list (`bogoutil -m`).
# Happens: unlearning subtracts one from each count, and words with the counts 0 and 0 stay in the list, in clear and with the header that they come from:
#   from:Musterfrau, subj:Musterfrau, sarcoidosis, and a date. The maintenance keeps them; with `-c 1` it removes them and every word that was
#   seen once as well. spamprobe forgets them with `remove`.
# Hurts: the list beside each mailbox, and its backups, hold for years the names of everybody who ever wrote and the rare words that they used, after the mailbox was
#   emptied by its retention; who knows a name sees that the person wrote, and when.
# Instead: after unlearning dump the list (`bogoutil -d`), leave out the lines with 0 and 0, and load the rest into a new file (`bogoutil -l`); or give words an age
#   (`bogoutil -a 90 -m` each night) shorter than the retention of the mails; treat the list as data of the mailbox.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    bogofilter-sqlite bogofilter-bdb spamprobe >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu"
programs=root/usr/bin
for package in debs/bogofilter-*db*.deb debs/bogofilter-sqlite*.deb debs/spamprobe*.deb; do basename "$package" .deb; done
cat > mail <<'MAIL'
From: Erika Musterfrau <erika@example.org>
Subject: Appointment of Musterfrau

My diagnosis is sarcoidosis, call me back.
MAIL
cat > other <<'MAIL'
From: Otto Beispiel <otto@example.org>
Subject: Invoice

Please call me back on the invoice.
MAIL
names() { grep -E 'Musterfrau|sarcoidosis' | awk '{ print $1 " " $2 " " $3 }' | sort | paste -sd , || true; }
run() {
    store=$1
    mkdir "$store"
    filter() { "$programs/bogofilter-$store" -C -d "$store" "$@"; }
    list() { "$programs/bogoutil-$store" "$@"; }
    filter -n <mail
    filter -n <other
    echo "$store learnt: $(list -d "$store/wordlist.db" | names)"
    filter -N <mail
    echo "$store unlearnt: $(list -d "$store/wordlist.db" | names)"
    list -m "$store/wordlist.db"
    echo "$store after -m: $(list -d "$store/wordlist.db" | names)"
    list -d "$store/wordlist.db" | awk '!($2 == 0 && $3 == 0)' | list -l "$store/new.db"
    echo "$store without 0 0: $(list -d "$store/new.db" | names), $(list -d "$store/new.db" | grep -c '[oO]tto\|nvoice') words of the other mail"
    list -c 1 -m "$store/wordlist.db"
    echo "$store after -c 1 -m: $(list -d "$store/wordlist.db" | names), $(list -d "$store/wordlist.db" | grep -c '[oO]tto\|nvoice' || true) words of the other mail"
}
probe() {
    mkdir probe
    "$programs/spamprobe" -d probe good mail other
    echo "spamprobe learnt: $("$programs/spamprobe" -d probe dump | grep -ciE 'musterfrau|sarcoidosis') entries"
    "$programs/spamprobe" -d probe remove mail
    echo "spamprobe removed: $("$programs/spamprobe" -d probe dump | grep -ciE 'musterfrau|sarcoidosis' || true) entries"
}
seen=$(run sqlite; run bdb; probe)
echo "$seen"
[ "$seen" = 'sqlite learnt: from:Musterfrau 0 1,sarcoidosis 0 1,subj:Musterfrau 0 1
sqlite unlearnt: from:Musterfrau 0 0,sarcoidosis 0 0,subj:Musterfrau 0 0
sqlite after -m: from:Musterfrau 0 0,sarcoidosis 0 0,subj:Musterfrau 0 0
sqlite without 0 0: , 4 words of the other mail
sqlite after -c 1 -m: , 0 words of the other mail
bdb learnt: from:Musterfrau 0 1,sarcoidosis 0 1,subj:Musterfrau 0 1
bdb unlearnt: from:Musterfrau 0 0,sarcoidosis 0 0,subj:Musterfrau 0 0
bdb after -m: from:Musterfrau 0 0,sarcoidosis 0 0,subj:Musterfrau 0 0
bdb without 0 0: , 4 words of the other mail
bdb after -c 1 -m: , 0 words of the other mail
spamprobe learnt: 8 entries
spamprobe removed: 0 entries' ] || changed "other words are kept"
echo "as described"

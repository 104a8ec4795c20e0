#!/usr/bin/env bash
# Tool: notmuch 0.37 (Debian 12: 0.37-1+b1, unpacked, not installed): a mail of which two files exist with one Message-ID, one of them redacted
#   (as after a correction by hand, an import from two archives, or a list that rewrites what it delivers).
# Expected: each file is found by its own words; when the unredacted file is removed and `notmuch new` was run, its words are found no more.
# Happens: files with one Message-ID are one mail. Its words are those of all files that were ever added; `show` and `reply` print the one
#   whose file name sorts first, without a hint at the other; for the removed one `notmuch new` says "file rename" and keeps its words. Searching for
#   "diabetes" goes on finding the mail, which then shows a text without it. `notmuch compact` changes nothing; only `notmuch reindex` of that
#   mail (or a new index) does.
# Hurts: after an erasure the index still tells who wrote about what, and each later search proves it; before it, a second mail that came with
#   the Message-ID of the first is never shown to anybody, though searches hit it.
# Instead: after each removal `notmuch reindex id:…` for the mail (or '*' at night); `notmuch count --output=files` against the count of mails finds
#   those with several files, `show --duplicate=2` prints the other one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root mail/cur mail/new mail/tmp
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    notmuch=0.37-1+b1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
export NOTMUCH_CONFIG=$work/config HOME=$work
printf '[database]\npath=%s/mail\n[user]\nname=Calls\nprimary_email=calls@example.org\n' "$work" > config
notmuch() { LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" "$work/root/usr/bin/notmuch" "$@"; }
mail() { # file, words
    printf 'From: Erika Muster <erika@example.org>\nTo: calls@example.org\nSubject: complaint\nDate: Sat, 28 Nov 2026 10:00:00 +0000\nMessage-ID: <1@example.org>\n\n%s\n' \
        "$2" > "mail/cur/$1:2,S"
}
shown() { notmuch show '*' | sed -n '/text\/plain/{n;p}'; }
tell() {
    echo "$1: $(notmuch count --output=messages '*') mail of $(notmuch count --output=files '*'), shown \"$(shown)\", found by diabetes: $(notmuch count diabetes)"
}

notmuch --version
mail 1 'My illness is [redacted].'
notmuch new --quiet
{
    tell "redacted file"
    mail 2 'My illness is diabetes.'
    echo "new says: $(notmuch new | grep -i 'mail\.$')"
    tell "original too"
    rm mail/cur/2:2,S
    echo "new says: $(notmuch new | tail -n 1)"
    tell "original removed"
    notmuch compact --quiet
    tell "compacted"
    notmuch reindex '*'
    tell "indexed again"
} > seen
cat seen
[ "$(cat seen)" = 'redacted file: 1 mail of 1, shown "My illness is [redacted].", found by diabetes: 0
new says: No new mail.
original too: 1 mail of 2, shown "My illness is [redacted].", found by diabetes: 1
new says: No new mail. Detected 1 file rename.
original removed: 1 mail of 1, shown "My illness is [redacted].", found by diabetes: 1
compacted: 1 mail of 1, shown "My illness is [redacted].", found by diabetes: 1
indexed again: 1 mail of 1, shown "My illness is [redacted].", found by diabetes: 0' ] || changed "other words are found"
echo "as described"

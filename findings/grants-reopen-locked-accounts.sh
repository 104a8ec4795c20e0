#!/usr/bin/env bash
# Tools: pt-show-grants 3.2.1 (Percona Toolkit) and SHOW GRANTS, as scripts that move accounts use them, with MariaDB 10.11.19 (Debian 12); beside mariadb-dump --system=users.
#   An agent who left has a locked account, a nurse a password that must be changed at the next login, a service has a login by certificate only.
# Expected: the statements that are printed for an account make it again as it is. The demand for a certificate and limits are in them, and so is the password.
# Happens: that an account is locked, and that its password has expired or expires after some days, is in neither. After the accounts were made anew from the
#   output, without an error, the locked agent logs in with the old password and reads calls, as before they left. mariadb-dump keeps the lock;
#   the expired password is in its file and void all the same, as a GRANT with the password, which follows, counts as setting it anew.
# Hurts: a new server, a move or a restore opens all accounts that were closed by locking, which is how people who leave are closed so that their history
#   stays; a comparison of grants before and after finds no difference, as it is made with the same command.
# Instead: move accounts by `mariadb-dump --system=users`, or run SHOW CREATE USER besides SHOW GRANTS; let passwords expire anew;
#   afterwards compare SHOW CREATE USER of each account, try the login of somebody who left, and take the rights of who left, too.
set -euo pipefail
work=$(mktemp -d)
maria=""
trap 'stop; rm -rf "$work"' EXIT
stop() { [ -z "$maria" ] || { kill -9 "$maria" && wait "$maria"; } 2>/dev/null || true; }
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --reinstall --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    percona-toolkit=3.2.1-1 libdbd-mysql-perl libdbi-perl libterm-readkey-perl libmariadb3 mariadb-server=1:10.11.19-0+deb12u1 mariadb-server-core mariadb-client-core >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
base="$work/root/usr"
export LD_LIBRARY_PATH="$base/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu" LC_ALL=C HOME="$work" PERL5LIB="$base/share/perl5:$base/lib/x86_64-linux-gnu/perl5/5.36"
own=()
[ "$(id -u)" != 0 ] || own=(--user=root)
"$base/bin/mariadb-install-db" --no-defaults --basedir="$base" --datadir="$work/maria" --auth-root-authentication-method=normal --skip-test-db "${own[@]}" >install.log 2>&1 || { cat install.log >&2; exit 1; }
"$base/sbin/mariadbd" --no-defaults --basedir="$base" --datadir="$work/maria" --socket="$work/socket" --skip-networking \
    --lc-messages-dir="$base/share/mysql" "${own[@]}" >server.log 2>&1 &
maria=$!
my() { "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u root "$@"; }
for _ in $(seq 300); do my -e 'select 1' >/dev/null 2>&1 && break; sleep 0.3; done
my -e "select concat('MariaDB ', version())"
perl="/usr/bin/perl $base/bin/pt-show-grants"
$perl --version
my <<'SQL'
create database desk;
create table desk.calls (note text);
insert into desk.calls values ('a call');
create user agent@localhost identified by 'example' account lock;
create user nurse@localhost identified by 'example' password expire;
create user service@localhost identified by 'example' require x509;
grant select on desk.* to agent@localhost, nurse@localhost, service@localhost;
SQL
seen=""
tell() { echo "$1: $2"; seen+="$1: $2"$'\n'; }
login() { "$base/bin/mariadb" --no-defaults --skip-column-names --batch -S "$work/socket" -u "$1" -pexample -e "select concat('reads ', note) from desk.calls" 2>&1 | sed 's/.*account is locked.*/locked/; s/.*Access denied.*/refused/; s/.*must SET PASSWORD.*/must change the password/' | grep -v '^-*$\|^select'; }
look() { for account in agent nurse service; do tell "$1, $account" "$(login "$account")"; done; }
anew() { # what to call it, the statements
    local code=0
    my -e "drop user agent@localhost, nurse@localhost, service@localhost"
    my <"$2" 2>error.log || code=$?
    tell "$1" "exit $code, $(grep -c . error.log || true) messages"
    look "$1"
    my -e "alter user agent@localhost account lock; alter user nurse@localhost password expire"
}
look before
$perl --socket "$work/socket" --user root --host localhost --only agent,nurse,service >percona.sql
for account in agent nurse service; do my -e "show grants for $account@localhost" | sed 's/$/;/'; done >show.sql
"$base/bin/mariadb-dump" --no-defaults -S "$work/socket" -u root --system=users --insert-ignore >dump.sql
tell "lines that lock or expire" "pt-show-grants $(grep -ci 'lock\|expire' percona.sql || true), SHOW GRANTS $(grep -ci 'lock\|expire' show.sql || true), mariadb-dump $(grep -c '\(agent\|nurse\).*\(LOCK\|EXPIRE\)' dump.sql || true)"
$perl --socket "$work/socket" --user root --host localhost --only agent,nurse,service >first.sql
anew "by pt-show-grants" percona.sql
anew "by SHOW GRANTS" show.sql
grep '`\(agent\|nurse\|service\)`@' dump.sql >accounts.sql
anew "by mariadb-dump" accounts.sql
$perl --socket "$work/socket" --user root --host localhost --only agent,nurse,service >last.sql
tell "pt-show-grants before and after" "$(cmp -s <(grep -v '^-- Dumped' first.sql) <(grep -v '^-- Dumped' last.sql) && echo equal || echo different)"
[ "$seen" = "before, agent: locked
before, nurse: must change the password
before, service: refused
lines that lock or expire: pt-show-grants 0, SHOW GRANTS 0, mariadb-dump 2
by pt-show-grants: exit 0, 0 messages
by pt-show-grants, agent: reads a call
by pt-show-grants, nurse: reads a call
by pt-show-grants, service: refused
by SHOW GRANTS: exit 0, 0 messages
by SHOW GRANTS, agent: reads a call
by SHOW GRANTS, nurse: reads a call
by SHOW GRANTS, service: refused
by mariadb-dump: exit 0, 0 messages
by mariadb-dump, agent: locked
by mariadb-dump, nurse: reads a call
by mariadb-dump, service: refused
pt-show-grants before and after: equal
" ] || changed "other accounts come back"
echo "as described"

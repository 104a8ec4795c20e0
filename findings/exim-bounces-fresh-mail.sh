#!/usr/bin/env bash
# Tool: Exim 4.96 (Debian 12: exim4-daemon-light 4.96-15+deb12u11 with its libraries, unpacked, not installed). The retry rule has the form of the usual one
#   (F,2h,15m; … F,4d,6h) with 10 seconds for the four days and 10 minutes for the six hours.
# Expected: each mail is tried for as long as the rule says: four days from the time that it came, at least once, and first of all when the other server is back.
# Happens: the rule counts from the first failure of the HOST. Once a host has been down for the four days, a mail that is written now comes back
#   to its sender at once: after one try, or, before the next retry time of the host, after none ("all hosts have been failing for a long
#   time"). So mails go on coming back for up to six hours after the server is up again; nothing of them stays in the queue. With a smarthost that is
#   all mail to everybody.
# Hurts: a clinic's mail server is down over a long weekend, and letters written on Tuesday, with results or an alarm, bounce at once, with their text, while the
#   clinic already works again; who counts on four days of queue as a buffer has none.
# Instead: `delay_after_cutoff = false` in the transport (tried here: each mail is tried once at least, and goes as soon as the server is up), and a rule that
#   is longer than any outage that has to be outlasted; an alarm on "failing for a long time" in the log.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
chmod 755 "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    exim4-daemon-light=4.96-15+deb12u11 libnss-wrapper >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
# Exim's user is compiled in: a list of users of its own names it, and the program is started with that list.
chmod 755 root/usr/sbin/exim4
user=$(id -u) && group=$(id -g)
[ "$user" != 0 ] || { user=65534; group=65534; }
printf 'root:x:0:0::/:/bin/false\nDebian-exim:x:%s:%s::/:/bin/false\n' "$user" "$group" >passwd
printf 'root:x:0:\nmail:x:8:\nDebian-exim:x:%s:\n' "$group" >group
cat > exim <<SH
#!/bin/sh
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu LD_PRELOAD=$work/root/usr/lib/x86_64-linux-gnu/libnss_wrapper.so
export NSS_WRAPPER_PASSWD=$work/passwd NSS_WRAPPER_GROUP=$work/group
exec $work/root/usr/sbin/exim4 "\$@"
SH
chmod 755 exim
# The clinic's server: it refuses connections until it gets SIGUSR1.
cat > clinic.py <<'PY'
import signal, socket
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
with open("port", "w") as file:
    print(listener.getsockname()[1], file=file)
signal.sigwait({signal.SIGUSR1})
listener.listen()
while True:
    link = listener.accept()[0]
    link.sendall(b"220 clinic\r\n")
    body = False
    for line in link.makefile("rb"):
        word = line.split()[0].upper() if line.split() else b""
        if body and line != b".\r\n":
            continue
        body = word == b"DATA" and not body
        link.sendall(b"354 go on\r\n" if body else b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
    link.close()
PY

# configure TRANSPORT-OPTION: an empty queue and log, and the rule.
configure() {
    rm -rf spool log && mkdir spool log
    [ "$(id -u)" != 0 ] || chown "$user:$group" spool log
    cat > exim.conf <<CONF
exim_path = $work/exim
primary_hostname = calls.example.org
spool_directory = $work/spool
log_file_path = $work/log/%s
exim_user = Debian-exim
keep_environment =
tls_advertise_hosts =
begin routers
clinic:
  driver = manualroute
  domains = clinic.example
  route_list = * 127.0.0.1
  self = send
  transport = smtp
back:
  driver = redirect
  data = :blackhole:
begin transports
smtp:
  driver = smtp
  port = $port
  hosts_try_fastopen =
  $1
begin retry
* * F,5s,5s; F,10s,10m
CONF
}
tell() { # tell LABEL ID: what the log says of a mail
    tries=$(grep -cE "$2 (H=.* Connection refused|=> )" log/main || true)
    if grep -q "$2 => " log/main; then end=delivered; elif grep -q "$2 \*\* " log/main; then end="given back"; else end="in the queue"; fi
    echo "$1: $end, tries $tries"
}
mail() { # mail LABEL: one mail, tried at once
    printf 'Subject: result\n\nHello\n' | ./exim -C "$work/exim.conf" -odf -f calls@example.org doctor@clinic.example
    id=$(grep '<= calls@example.org' log/main | tail -n 1 | cut -d' ' -f3)
    tell "$1" "$id"
}
run() {
    rm -f port
    python3 clinic.py & server=$!
    for _ in $(seq 600); do [ ! -s port ] || break; sleep 0.1; done
    port=$(cat port)
    configure "$1"
    mail "written when the clinic's server goes down"
    first=$id
    sleep 12
    ./exim -C "$work/exim.conf" -M "$first" # tries at once, whatever the next retry time is
    tell "the same, after the time of the rule" "$first"
    mail "written now"
    kill -USR1 "$server"
    sleep 1
    mail "written when the server is up again"
    kill "$server" && wait "$server" 2>/dev/null || true
    server=""
}
dpkg-deb -f debs/exim4-daemon-light_*.deb Version
seen=$(run "" 2>/dev/null; echo "with delay_after_cutoff = false"; run "delay_after_cutoff = false" 2>/dev/null)
echo "$seen"
[ "$seen" = "written when the clinic's server goes down: in the queue, tries 1
the same, after the time of the rule: given back, tries 2
written now: given back, tries 0
written when the server is up again: given back, tries 0
with delay_after_cutoff = false
written when the clinic's server goes down: in the queue, tries 1
the same, after the time of the rule: given back, tries 2
written now: given back, tries 1
written when the server is up again: delivered, tries 1" ] || changed "mails come back otherwise"
echo "as described"

#!/usr/bin/env bash
# Tool: RabbitMQ 3.10.8 (Debian 12: rabbitmq-server 3.10.8-1.1+deb12u1 with Erlang 25, unpacked, not installed), pika 1.4.4 (Python): Anna's program waits for messages of the
#   queue calls (basic.consume), then her rights are taken away by the management interface.
# Expected: after her permissions were deleted she is handed no message any more, as she may send none and open nothing; a new password ends what was opened with
#   the old one.
# Happens: the right to read is looked at when the waiting begins. Anna goes on to get each message, for as long as the connection lasts, while sending and any new request of hers
#   are refused (and end that channel alone). A new password changes nothing for the open connection. Deleting the user closes it.
# Hurts: who was moved to another team, or whose key got out, is handed every call's event for weeks, as such programs never reconnect; each message goes to one reader, so that
#   what she gets is missing to those who should have it; the list of permissions says that she has none.
# Instead: after taking rights away close the user's connections (`rabbitmqctl close_all_user_connections anna "rights changed"`), or delete the user; look at the list of
#   consumers afterwards, which shows who still waits.
set -euo pipefail
work=$(mktemp -d)
server="" names=""
trap '[ -z "$server" ] || kill -- "-$server" 2>/dev/null || true; [ -z "$names" ] || kill -- "-$names" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    rabbitmq-server=3.10.8-1.1+deb12u1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
dpkg-deb -f debs/rabbitmq-server_*.deb Version
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pika==1.4.4
sed -i "s#/usr/lib/erlang#$work/root/usr/lib/erlang#" root/usr/lib/erlang/bin/erl
read -r port web node mapper < <(python3 -c 'import socket
free = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(one.getsockname()[1] for one in free))')
export HOME="$work" PATH="$work/root/usr/lib/erlang/bin:$PATH" LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu"
export ERL_EPMD_PORT="$mapper" ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=calls@localhost RABBITMQ_DIST_PORT="$node"
export RABBITMQ_HOME="$work/root/usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8" RABBITMQ_MNESIA_BASE="$work/data" RABBITMQ_LOG_BASE="$work/log"
export RABBITMQ_CONFIG_FILE="$work/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$work/plugins" RABBITMQ_CONF_ENV_FILE="$work/none"
echo '[rabbitmq_management].' >plugins
printf 'listeners.tcp.1 = 127.0.0.1:%s\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %s\n' "$port" "$web" >rabbitmq.conf
setsid bash -c 'while :; do root/usr/lib/erlang/erts-*/bin/epmd -port "$1"; sleep 0.2; done' - "$mapper" >epmd.log 2>&1 &
names=$!
for _ in $(seq 600); do ! (exec 3<>"/dev/tcp/127.0.0.1/$mapper") 2>/dev/null || break; sleep 0.1; done
setsid bash -c 'for _ in 1 2 3 4 5; do "$RABBITMQ_HOME/sbin/rabbitmq-server"; done' >server.log 2>&1 &
server=$!
cat > read.py <<'PY'
import base64, json, sys, time, urllib.error, urllib.request
import pika

port, web = map(int, sys.argv[1:])
rights = {"configure": ".*", "write": ".*", "read": ".*"}

def manage(method, path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{web}/api/{path}", method=method, data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode(), "Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None

for _ in range(300):
    try:
        manage("GET", "overview")
        break
    except (OSError, urllib.error.URLError):
        time.sleep(1)

def connect(user):
    place = pika.ConnectionParameters("127.0.0.1", port, credentials=pika.PlainCredentials(user, "first"))
    return pika.BlockingConnection(place)

for user in ("anna", "desk"):
    manage("PUT", "users/" + user, {"password": "first", "tags": ""})
    manage("PUT", "permissions/%2F/" + user, rights)
desk = connect("desk").channel()
desk.confirm_delivery()
desk.queue_declare("calls", durable=True)
anna = connect("anna")
got = []
reading = anna.channel()
reading.basic_consume("calls", lambda channel, method, properties, body: got.append(body.decode()), auto_ack=True)
writing = anna.channel()
writing.confirm_delivery()

def told(name, text):
    desk.basic_publish("", "calls", text.encode())
    for _ in range(10):
        try:
            anna.process_data_events(0.5)
        except pika.exceptions.AMQPError as error:
            print(f"{name}: {type(error).__name__}")
            return
        if text in got:
            break
    print(f"{name}: anna {'gets the message' if text in got else 'gets nothing'}")

def tried(name, call):
    try:
        call()
        print(f"{name}: done")
    except pika.exceptions.AMQPError as error:
        print(f"{name}: {getattr(error, 'reply_code', type(error).__name__)}")

told("with her rights", "call 1")
manage("DELETE", "permissions/%2F/anna")
print("rights of anna:", manage("GET", "users/anna/permissions"))
told("without rights", "call 2")
tried("without rights she sends", lambda: writing.basic_publish("", "calls", b"by anna"))
tried("without rights she asks for one message", lambda: anna.channel().basic_get("calls"))
time.sleep(60)
told("without rights, a minute later", "call 3")
print("consumers of the queue:", [consumer["channel_details"]["user"] for consumer in manage("GET", "queues/%2F/calls")["consumer_details"]])
manage("PUT", "users/anna", {"password": "second", "tags": ""})
told("without rights, with another password", "call 4")
manage("DELETE", "users/anna")
time.sleep(2)
told("deleted", "call 5")
PY
seen=$(venv/bin/python read.py "$port" "$web" 2>read.log) || { tail -n 5 read.log server.log epmd.log >&2; exit 1; }
echo "$seen"
[ "$seen" = "with her rights: anna gets the message
rights of anna: []
without rights: anna gets the message
without rights she sends: 403
without rights she asks for one message: 403
without rights, a minute later: anna gets the message
consumers of the queue: ['anna']
without rights, with another password: anna gets the message
deleted: ConnectionClosedByBroker" ] || changed "she gets other messages"
echo "as described"

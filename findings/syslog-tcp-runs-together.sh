#!/usr/bin/env bash
# Tools: Python 3.11's SysLogHandler, winston-syslog 2.7.1 (Node.js), Log4j 2.25.2's Syslog appender (Java), the crate syslog 7.0.0 (Rust), beside Go's
#   log/syslog: each sends 200 audit entries over one TCP connection with its default settings, to rsyslog 8.2302.0 and syslog-ng 3.38.1 (Debian 12).
# Expected: TCP instead of UDP is what makes a log complete: 200 entries arrive as 200 records, each at once.
# Happens: of the five only Go's ends an entry with a line break, on which both servers rely. The others' entries have no end (Python's a zero byte, which
#   syslog-ng takes and rsyslog does not): nothing is stored until 8 or 64 kilobytes are there or the program ends, and then 200 entries are one to three records,
#   cut in the middle of an entry, under the time and severity of the first.
# Hurts: the server's audit log has an entry from each restart of the program; who listened today is known when it stops; searches by person and
#   time, alarms on "refused" and retention by date work on records that hold hours of others. It works over UDP, with which it was tried.
# Instead (tried here for the first three): a line break of one's own (`append_nul = False` and "\n" in Python's format, `eol: '\n'` of winston-syslog,
#   `newLine="true"` of Log4j), in Rust a socket of one's own; count the records at the server against those sent.
set -euo pipefail
work=$(mktemp -d)
servers=""
trap '[ -z "$servers" ] || kill $servers 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

chmod 755 .
apt-get download -q rsyslog libestr0 libfastjson4 syslog-ng-core libivykis0 libjson-c5 libnet1 libpcre3 libwrap0 >apt.log 2>&1 || { cat apt.log >&2; exit 1; }
for file in *.deb; do dpkg-deb -x "$file" root; done
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund winston@3.19.0 winston-syslog@2.7.1
cat >pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.2</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat >send.py <<'PY'
import logging.handlers, socket, sys, time
handler = logging.handlers.SysLogHandler(("127.0.0.1", int(sys.argv[1])), socktype=socket.SOCK_STREAM)
if sys.argv[2:]:
    handler.append_nul = False
    handler.setFormatter(logging.Formatter("%(message)s\n"))
log = logging.Logger("desk")
log.addHandler(handler)
for number in range(200):
    log.warning("desk: call %d heard by agent", number)
time.sleep(5)
PY
cat >send.cjs <<'JS'
const winston = require('winston');
const { Syslog } = require('winston-syslog');
const eol = process.argv[3] && '\n';
const log = winston.createLogger({ levels: winston.config.syslog.levels, transports: [new Syslog({ port: +process.argv[2], protocol: 'tcp4', ...(eol && { eol }) })] });
for (let number = 0; number < 200; number++) log.info(`call ${number} heard by agent`);
setTimeout(() => process.exit(), 5000);
JS
cat >Send.java <<'JAVA'
import java.nio.file.*;
import org.apache.logging.log4j.*;

public class Send {
    public static void main(String[] options) throws Exception {
        Files.writeString(Path.of("log4j.xml"), "<Configuration><Appenders><Syslog name=\"S\" host=\"127.0.0.1\" port=\"" + options[0]
            + "\" protocol=\"TCP\" format=\"RFC5424\"" + (options.length > 1 ? " newLine=\"true\"" : "") + "/></Appenders><Loggers><Root level=\"info\"><AppenderRef ref=\"S\"/></Root></Loggers></Configuration>");
        System.setProperty("log4j.configurationFile", "log4j.xml");
        Logger log = LogManager.getLogger("desk");
        for (int number = 0; number < 200; number++) log.info("call {} heard by agent", number);
        Thread.sleep(5000);
        LogManager.shutdown();
    }
}
JAVA
javac -cp 'jars/*' Send.java
mkdir -p rust/src go
printf '%s\n' '[package]' 'name = "send"' 'version = "0.0.0"' 'edition = "2021"' '[dependencies]' 'syslog = "=7.0.0"' '[profile.dev]' 'debug = false' >rust/Cargo.toml
cat >rust/src/main.rs <<'RS'
fn main() {
    let form = syslog::Formatter3164 { facility: syslog::Facility::LOG_AUTH, hostname: None, process: "desk".into(), pid: 1 };
    let mut log = syslog::tcp(form, format!("127.0.0.1:{}", std::env::args().nth(1).unwrap())).unwrap();
    for number in 0..200 {
        log.info(format!("call {number} heard by agent")).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_secs(5));
}
RS
cat >go/main.go <<'GO'
package main

import (
	"fmt"
	"log/syslog"
	"os"
	"time"
)

func main() {
	log, err := syslog.Dial("tcp", "127.0.0.1:"+os.Args[1], syslog.LOG_AUTH, "desk")
	if err != nil {
		panic(err)
	}
	for number := range 200 {
		log.Info(fmt.Sprintf("call %d heard by agent", number))
	}
	time.Sleep(5 * time.Second)
}
GO
(cd rust && cargo build --quiet --target-dir target) >cargo.log 2>&1 || { cat cargo.log >&2; exit 1; }
(cd go && go mod init send && go build -o ../send-go .) >go.log 2>&1 || { cat go.log >&2; exit 1; }

read -r first second < <(python3 -c 'import socket; a = socket.create_server(("127.0.0.1", 0)); b = socket.create_server(("127.0.0.1", 0)); print(a.getsockname()[1], b.getsockname()[1])')
libraries="$work/root/usr/lib/x86_64-linux-gnu"
cat >rsyslog.conf <<CONF
module(load="imtcp")
input(type="imtcp" port="$first" address="127.0.0.1")
action(type="omfile" file="$work/rsyslog.got")
CONF
cat >syslog-ng.conf <<CONF
@version: 3.38
log { source { network(ip("127.0.0.1") port($second) transport("tcp")); }; destination { file("$work/syslog-ng.got"); }; };
CONF
LD_LIBRARY_PATH="$libraries" root/usr/sbin/rsyslogd -v | head -n 1 | cut -d ' ' -f 1,3
LD_LIBRARY_PATH="$libraries" root/usr/sbin/rsyslogd -n -f rsyslog.conf -i "$work/rsyslog.pid" -M "$libraries/rsyslog" >rsyslog.log 2>&1 &
servers=$!
export LD_LIBRARY_PATH="$libraries:$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/syslog-ng"
root/usr/sbin/syslog-ng --version | sed -n '2s/.*: //;1p'
root/usr/sbin/syslog-ng -F -f syslog-ng.conf --no-caps --module-path="$work/root/usr/lib/syslog-ng/3.38" --persist-file="$work/persist" --pidfile="$work/ng.pid" --control="$work/ng.ctl" >syslog-ng.log 2>&1 &
servers="$servers $!"
unset LD_LIBRARY_PATH
sleep 3

try() { # name, command
    echo "$1: $(port=$first name=rsyslog one "${@:2}"), $(port=$second name=syslog-ng one "${@:2}")"
}
count() { wc -l <"$name.got" | sed 's/^[0-4]$/0 to 4/'; }
one() {
    : >"$name.got"
    "${@//PORT/$port}" >send.log 2>&1 &
    sleep 4.5
    at_once=$(count)
    wait $!
    sleep 1
    echo "$name $at_once at once, $(count) in the end"
}
seen=$(try Python python3 send.py PORT
try winston-syslog node send.cjs PORT
try Log4j java -cp 'jars/*:.' Send PORT
try Rust rust/target/debug/send PORT
try Go ./send-go PORT
try "Python with line break" python3 send.py PORT x
try "winston-syslog with eol" node send.cjs PORT x
try "Log4j with newLine" java -cp 'jars/*:.' Send PORT x)
echo "$seen"
[ "$seen" = "Python: rsyslog 0 to 4 at once, 0 to 4 in the end, syslog-ng 200 at once, 200 in the end
winston-syslog: rsyslog 0 to 4 at once, 0 to 4 in the end, syslog-ng 0 to 4 at once, 0 to 4 in the end
Log4j: rsyslog 0 to 4 at once, 0 to 4 in the end, syslog-ng 0 to 4 at once, 0 to 4 in the end
Rust: rsyslog 0 to 4 at once, 0 to 4 in the end, syslog-ng 0 to 4 at once, 0 to 4 in the end
Go: rsyslog 200 at once, 200 in the end, syslog-ng 200 at once, 200 in the end
Python with line break: rsyslog 200 at once, 200 in the end, syslog-ng 200 at once, 200 in the end
winston-syslog with eol: rsyslog 200 at once, 200 in the end, syslog-ng 200 at once, 200 in the end
Log4j with newLine: rsyslog 200 at once, 200 in the end, syslog-ng 200 at once, 200 in the end" ] || changed "other numbers of records"
echo "as described"

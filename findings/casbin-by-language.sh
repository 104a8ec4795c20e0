#!/usr/bin/env bash
# Tools: Casbin for Go 3.10.0, Python (pycasbin 1.43.0), Node.js 5.51.1, Java (jcasbin 1.99.0) and Rust (casbin 2.20.0): the same model,
#   the same policy and the same question for all.
# Expected: one decision. The rule with the lower number goes first under `priority(p.eft) || deny`; a pattern matches the whole path; a
#   role that follows from a role counts however long the chain is.
# Happens: the Rust crate does not look at the priority column and takes the first rule of the file: it allows what the others deny.
#   `regexMatch` takes any part of the path in Go, Node.js and Rust, any beginning in Python and Java, the whole path in none; `keyMatch`
#   does not look at what is written behind the star, so that a rule for recordings allows transcripts. `**` of globMatch crosses folders
#   in some. After 9 (Python, Rust) or 10 steps from role to role the next role is not found, without an error.
# Hurts: two services that share a policy in one database let different people at the same record, and the tests of one say nothing
#   about the other; a withdrawal put in front by its number does nothing in Rust.
# Instead: order the file as the priorities say; write `^…$` around every regular expression, and no keyMatch with text behind the star;
#   keep chains of roles short; run one table of questions against each service that enforces.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

model() { # definition of a policy, its effect, the matcher
    printf '%s\n' '[request_definition]' 'r = sub, obj, act' '[policy_definition]' "p = $1" '[role_definition]' 'g = _, _' \
        '[policy_effect]' "e = $2" '[matchers]' "m = $3"
}
model 'priority, sub, obj, act, eft' 'priority(p.eft) || deny' 'g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act' >priority.conf
printf '%s\n' 'p, 20, agent, calls, read, allow' 'p, 10, agent, calls, read, deny' >priority.csv
some='some(where (p.eft == allow))'
model 'sub, obj, act' "$some" 'g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act' >roles.conf
{ echo 'p, role, calls, read'; for n in $(seq 14); do echo "g, role$n, role$([ "$n" = 1 ] || echo $((n - 1)))"; done; } >roles.csv
for function in regexMatch keyMatch globMatch; do model 'sub, obj, act' "$some" "$function(r.obj, p.obj)" >"$function.conf"; done
echo 'p, agent, /calls/[0-9]+, read' >regexMatch.csv
echo 'p, agent, /calls/*/audio, read' >keyMatch.csv
echo 'p, agent, /calls/**, read' >globMatch.csv
cat >questions <<'ASK'
priority agent calls
regexMatch agent /calls/12/notes
regexMatch agent /archive/calls/12
keyMatch agent /calls/12/notes
globMatch agent /calls/12/notes
roles role9 calls
roles role10 calls
roles role11 calls
ASK

mkdir -p go java rust/src
cat >go/main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/casbin/casbin/v3"
)

func main() {
	text, _ := os.ReadFile("questions")
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		ask := strings.Fields(line)
		enforcer, err := casbin.NewEnforcer(ask[0]+".conf", ask[0]+".csv")
		if err != nil {
			panic(err)
		}
		allowed, err := enforcer.Enforce(ask[1], ask[2], "read")
		if err != nil {
			panic(err)
		}
		fmt.Println(allowed)
	}
}
GO
cat >ask.py <<'PY'
import casbin
for line in open("questions"):
    name, who, what = line.split()
    print(str(casbin.Enforcer(name + ".conf", name + ".csv").enforce(who, what, "read")).lower())
PY
cat >ask.cjs <<'JS'
const { newEnforcer } = require("casbin");
(async () => {
  for (const line of require("fs").readFileSync("questions", "utf8").trim().split("\n")) {
    const [name, who, what] = line.split(" ");
    console.log(await (await newEnforcer(name + ".conf", name + ".csv")).enforce(who, what, "read"));
  }
})();
JS
cat >Ask.java <<'JAVA'
import java.nio.file.*;
import org.casbin.jcasbin.main.Enforcer;

public class Ask {
    public static void main(String[] none) throws Exception {
        for (String line : Files.readAllLines(Path.of("questions"))) {
            String[] ask = line.split(" ");
            System.out.println(new Enforcer(ask[0] + ".conf", ask[0] + ".csv").enforce(ask[1], ask[2], "read"));
        }
    }
}
JAVA
cat >java/pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.casbin</groupId><artifactId>jcasbin</artifactId><version>1.99.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>2.0.16</version></dependency>
  </dependencies>
</project>
XML
cat >rust/Cargo.toml <<'TOML'
[package]
name = "ask"
version = "0.0.0"
edition = "2021"
[dependencies]
casbin = { version = "=2.20.0", default-features = false, features = ["runtime-tokio", "glob"] }
tokio = { version = "1", features = ["full"] }
[profile.dev]
debug = false
TOML
cat >rust/src/main.rs <<'RS'
use casbin::prelude::*;

#[tokio::main]
async fn main() {
    for line in std::fs::read_to_string("questions").unwrap().lines() {
        let ask: Vec<&str> = line.split(' ').collect();
        let files = (format!("{}.conf", ask[0]), format!("{}.csv", ask[0]));
        let enforcer = Enforcer::new(files.0.leak() as &'static str, files.1.leak() as &'static str).await.unwrap();
        println!("{}", enforcer.enforce((ask[1], ask[2], "read")).unwrap());
    }
}
RS
(cd go && go mod init ask && go get github.com/casbin/casbin/v3@v3.10.0 && go mod tidy && go build -o ../ask-go .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check casbin==1.43.0
npm install --silent --no-fund --no-audit casbin@5.51.1
mvn -q -B -f java/pom.xml dependency:copy-dependencies -DoutputDirectory="$work/jars" >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
(cd rust && cargo build --quiet --target-dir target) >cargo.log 2>&1 || { cat cargo.log >&2; exit 1; }

./ask-go >go.out
venv/bin/python ask.py 2>/dev/null >python.out
node ask.cjs >node.out
java -cp 'jars/*' Ask.java 2>/dev/null >java.out
rust/target/debug/ask >rust.out
echo "Casbin: Go 3.10.0, Python 1.43.0, Node.js 5.51.1, Java 1.99.0, Rust 2.20.0"
seen=$(paste -d ' ' questions go.out python.out node.out java.out rust.out)
echo "$seen"
[ "$seen" = "priority agent calls false false false false true
regexMatch agent /calls/12/notes true true true true true
regexMatch agent /archive/calls/12 true false true false true
keyMatch agent /calls/12/notes true true true true true
globMatch agent /calls/12/notes true false true true true
roles role9 calls true true true true true
roles role10 calls true false true true false
roles role11 calls false false false false false" ] || changed "other decisions than described"
echo "as described"

#!/usr/bin/env bash
# Tools: cel-go 0.33.2 (what Kubernetes evaluates with), cel-python 0.5.0, the Rust engine cel (as shipped in common-expression-language 0.10.0,
#   Python), @bufbuild/cel 0.6.1 (Node.js), on valid CEL expressions.
# Expected: one expression has one value in all of them: CEL has a specification with tests of conformance.
# Happens: - size of a text: two characters are 2 in three, 5 (bytes) in Rust.
#   - A list where one element fails: cel-go, cel-python and bufbuild go on to the one that fits, Rust ends with an error.
#   - duration('1500ms').getMilliseconds() is 1500, in bufbuild 500; string(duration('90m')) is 5400s, in Rust 1h30m0s.
#   - cel-python takes duration('1d') and timestamp('2026-11-29'), which the three others refuse. The day of 31 March, 22:30 UTC, in Amsterdam
#     is the 1st, in bufbuild the 2nd; Rust knows no time zones.
# Hurts: a rule that was tested beside an operator in Rust or Python is another rule in the cluster: names with an umlaut are too
#   long in the test only, and "1d", which passed there, is an error at each request in the cluster.
# Instead: test admission and validation rules in a real API server; in other engines use ASCII, hours instead of days, and no expression
#   that can fail for one element.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > expressions <<'CEL'
size('é€')
[0, 2].exists(x, 4 / x == 2)
duration('1500ms').getMilliseconds()
string(duration('90m'))
duration('1d') > duration('1h')
timestamp('2026-11-29') < timestamp('2026-11-30T00:00:00Z')
timestamp('2026-03-31T22:30:00Z').getDate('Europe/Amsterdam')
'calls-eu'.matches('calls')
CEL
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"os"

	"cel.dev/cel-go/cel"
)

func main() {
	env, err := cel.NewEnv()
	if err != nil {
		panic(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		tree, issues := env.Compile(lines.Text())
		if issues.Err() != nil {
			fmt.Println("error")
			continue
		}
		program, err := env.Program(tree)
		if err != nil {
			panic(err)
		}
		if value, _, err := program.Eval(cel.NoVars()); err != nil {
			fmt.Println("error")
		} else {
			fmt.Println(value.Value())
		}
	}
}
GO
(cd go && go mod init evaluate && go get cel.dev/cel-go@v0.33.2 && go mod tidy && go build -o ../evaluate .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cel-python==0.5.0 common-expression-language==0.10.0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @bufbuild/cel@0.6.1
cat > evaluate.py <<'PY'
import sys
import cel, celpy
def with_celpy(text):
    env = celpy.Environment()
    return env.program(env.compile(text)).evaluate({})
run = {"python": with_celpy, "rust": lambda text: cel.evaluate(text, {})}[sys.argv[1]]
for text in sys.stdin.read().splitlines():
    try:
        value = run(text)
        print(str(value).lower() if str(value) in ("True", "False") else value)
    except Exception:
        print("error")
PY
cat > evaluate.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { run } from '@bufbuild/cel';
for (const text of readFileSync(0, 'utf8').trim().split('\n')) {
  let value;
  try { value = run(text); } catch { value = new Error(); }
  console.log(value instanceof Error ? 'error' : String(value));
}
JS
seen=$(paste -d '|' expressions <(./evaluate <expressions) <(venv/bin/python evaluate.py python <expressions 2>/dev/null) \
    <(venv/bin/python evaluate.py rust <expressions 2>/dev/null) <(node evaluate.mjs <expressions) |
    sed 's/^\(.*\)|\(.*\)|\(.*\)|\(.*\)|\(.*\)$/\1: Go \2, Python \3, Rust \4, bufbuild \5/')
echo "$seen"
[ "$seen" = "size('é€'): Go 2, Python 2, Rust 5, bufbuild 2
[0, 2].exists(x, 4 / x == 2): Go true, Python true, Rust error, bufbuild true
duration('1500ms').getMilliseconds(): Go 1500, Python 1500, Rust 1500, bufbuild 500
string(duration('90m')): Go 5400s, Python 5400s, Rust 1h30m0s, bufbuild 5400s
duration('1d') > duration('1h'): Go error, Python true, Rust error, bufbuild error
timestamp('2026-11-29') < timestamp('2026-11-30T00:00:00Z'): Go error, Python true, Rust error, bufbuild error
timestamp('2026-03-31T22:30:00Z').getDate('Europe/Amsterdam'): Go 1, Python 1, Rust error, bufbuild 2
'calls-eu'.matches('calls'): Go true, Python true, Rust true, bufbuild true" ] || changed "other values than described"
echo "as described"

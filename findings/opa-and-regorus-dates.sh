#!/usr/bin/env bash
# Tools: Open Policy Agent 1.22.4 (Go) and regorus 0.14.1 (Rust), one Rego expression, evaluated by both.
# Expected: time.add_date gives one date in both: the last day of the month where the day does not exist, or the overflow into the next.
# Happens: OPA overflows: 31 January plus one month is 3 March. regorus stays in the month: 28 February. From 29 February plus a number of
#   years regorus gives nothing at all (undefined) where the target is no leap year, OPA 1 March.
# Hurts: a rule "destroyable after" is true three days earlier in the service that embeds regorus; for somebody born on 29 February a
#   rule over "eighteen years later" is silently undefined, so that a default decides. Tests with OPA's own test runner show none of it.
# Instead: compute due dates outside the policy and hand them in; test policies with the engine that runs them, on 29, 30 and 31.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p go rust/src
cat > go/main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/open-policy-agent/opa/v1/rego"
)

func main() {
	for _, expression := range os.Args[1:] {
		found, err := rego.New(rego.Query("x := " + expression)).Eval(context.Background())
		switch {
		case err != nil:
			fmt.Println(err)
		case len(found) == 0:
			fmt.Println("undefined")
		default:
			fmt.Println(found[0].Bindings["x"])
		}
	}
}
GO
cat > rust/Cargo.toml <<'TOML'
[package]
name = "evaluate"
version = "0.0.0"
edition = "2021"
[dependencies]
regorus = { version = "=0.14.1", default-features = false, features = ["arc", "std", "time"] }
[profile.dev]
debug = false
TOML
cat > rust/src/main.rs <<'RS'
fn main() {
    for expression in std::env::args().skip(1) {
        match regorus::Engine::new().eval_query(format!("x := {expression}"), false) {
            Err(error) => println!("{error}"),
            Ok(found) => match found.result.first().and_then(|result| result.bindings["x"].as_string().ok()) {
                None => println!("undefined"),
                Some(text) => println!("{text}"),
            },
        }
    }
}
RS
(cd go && go mod init evaluate && go get github.com/open-policy-agent/opa@v1.22.4 && go mod tidy && go build -o ../opa .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
(cd rust && cargo build --quiet --target-dir target) >cargo.log 2>&1 || { cat cargo.log >&2; exit 1; }

expressions=()
for step in "2026-01-31 0,1,0" "2026-08-31 0,18,0" "2024-02-29 18,0,0" "2024-02-29 20,0,0"; do
    read -r day add <<<"$step"
    expressions+=("time.format(time.add_date(time.parse_rfc3339_ns(\"${day}T12:00:00Z\"), $add))")
done
echo "Open Policy Agent 1.22.4, regorus 0.14.1"
seen=$(paste -d ' ' <(printf '%s\n' "2026-01-31 plus 1 month:" "2026-08-31 plus 18 months:" "2024-02-29 plus 18 years:" "2024-02-29 plus 20 years:") \
    <(./opa "${expressions[@]}" | cut -c 1-10 | sed 's/^/OPA /') <(rust/target/debug/evaluate "${expressions[@]}" | cut -c 1-10 | sed 's/^/regorus /'))
echo "$seen"
[ "$seen" = "2026-01-31 plus 1 month: OPA 2026-03-03 regorus 2026-02-28
2026-08-31 plus 18 months: OPA 2028-03-02 regorus 2028-02-29
2024-02-29 plus 18 years: OPA 2042-03-01 regorus undefined
2024-02-29 plus 20 years: OPA 2044-02-29 regorus 2044-02-29" ] || changed "other dates than described"
echo "as described"

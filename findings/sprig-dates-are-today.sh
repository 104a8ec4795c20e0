#!/usr/bin/env bash
# Tool: Sprig 3.3.0 (Go), the functions of templates in Helm, External Secrets and others.
# Expected: `date` of a text writes the date of that text, `dateModify "30d"` is 30 days later, `int "3650d"` an error; what cannot be
#   understood stops the rendering, as a missing function does.
# Happens: `date` and `htmlDate` of a text write the present day. `dateModify` knows no unit above the hour and gives the date back as it was.
#   `toDate` of another form, or of the 31 November, is the year 1, `duration "10y"` is 0s, `int "3650d"` is 0, and `int64 "0400"` is 256
#   while `atoi "0400"` is 400. All without an error; with the clock of the machine that renders, in its time zone.
# Hurts: "destroy after" becomes today or 30 December of the year 10, a retention becomes 0 days, which many stores take for "at once" or
#   "for ever"; tomorrow's rendering differs, so that the manifests change by themselves.
# Instead: use the must-forms (`mustToDate`, `mustDateModify`); write times as numbers of hours or seconds in the values; check them with
#   a values.schema.json; compute due dates outside of templates.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > main.go <<'GO'
package main

import (
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
)

func main() {
	for _, text := range []string{
		`date "2006-01-02" "2024-01-01"`,
		`htmlDate "2024-01-01"`,
		`toDate "2006-01-02" "2024-01-01" | date "2006-01-02"`,
		`toDate "2006-01-02" "2024-01-01" | dateModify "720h" | date "2006-01-02"`,
		`toDate "2006-01-02" "2024-01-01" | dateModify "30d" | date "2006-01-02"`,
		`toDate "2006-01-02" "2024-01-01" | dateModify "10y" | date "2006-01-02"`,
		`toDate "2006-01-02" "01.01.2024" | dateModify "87600h" | date "2006-01-02"`,
		`toDate "2006-01-02" "2026-11-31" | date "2006-01-02"`,
		`duration "10y"`,
		`int "3650d"`,
		`int64 "0400"`,
		`atoi "0400"`,
		`mustToDate "2006-01-02" "2024-01-01" | mustDateModify "30d" | date "2006-01-02"`,
	} {
		var out strings.Builder
		today := time.Now().Format("2006-01-02")
		if err := template.Must(template.New("").Funcs(sprig.TxtFuncMap()).Parse("{{ "+text+" }}")).Execute(&out, nil); err != nil {
			fmt.Println(text, "-> an error")
			continue
		}
		fmt.Println(text, "->", strings.ReplaceAll(out.String(), today, "today"))
	}
}
GO
(go mod init show && go get github.com/Masterminds/sprig/v3@v3.3.0 && go mod tidy && go build -o show .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
echo "Sprig 3.3.0"
seen=$(./show)
echo "$seen"
[ "$seen" = 'date "2006-01-02" "2024-01-01" -> today
htmlDate "2024-01-01" -> today
toDate "2006-01-02" "2024-01-01" | date "2006-01-02" -> 2024-01-01
toDate "2006-01-02" "2024-01-01" | dateModify "720h" | date "2006-01-02" -> 2024-01-31
toDate "2006-01-02" "2024-01-01" | dateModify "30d" | date "2006-01-02" -> 2024-01-01
toDate "2006-01-02" "2024-01-01" | dateModify "10y" | date "2006-01-02" -> 2024-01-01
toDate "2006-01-02" "01.01.2024" | dateModify "87600h" | date "2006-01-02" -> 0010-12-30
toDate "2006-01-02" "2026-11-31" | date "2006-01-02" -> 0001-01-01
duration "10y" -> 0s
int "3650d" -> 0
int64 "0400" -> 256
atoi "0400" -> 400
mustToDate "2006-01-02" "2024-01-01" | mustDateModify "30d" | date "2006-01-02" -> an error' ] || changed "other dates than described"
echo "as described"

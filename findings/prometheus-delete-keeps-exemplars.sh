#!/usr/bin/env bash
# Tool: Prometheus 0.312.0 as a Go module (its store, tsdb, with exemplars as `--enable-feature=exemplar-storage` turns them on), a series that by mistake has a
#   caller's name as label, with exemplars that name the call.
# Expected: deleting the series (what the admin API's delete_series does) and cleaning the tombstones (clean_tombstones) leaves neither samples nor
#   exemplars nor the name.
# Happens: the samples are gone. All exemplars are still answered with the name in their labels, the name is still offered as a value of the label, and
#   the write-ahead log on disk has it, after cleaning too. A restart changes nothing: the exemplars are read from that log again.
# Hurts: the erasure of a name that got into a label is reported as done, dashboards with exemplars go on showing caller and call, and a backup of the
#   folder has both.
# Instead: drop such labels before they are stored (metric_relabel_configs); after a deletion restart once the log was cut off behind it (two to three
#   hours later), and ask query_exemplars and label values for the name; keep what identifies a caller out of exemplars, a random trace id is enough.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

const end = 2_000_000_000_000

var ctx = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func open() *tsdb.DB {
	options := tsdb.DefaultOptions()
	options.EnableExemplarStorage, options.MaxExemplars = true, 100
	return must(tsdb.Open("data", slog.New(slog.NewTextHandler(io.Discard, nil)), nil, options, nil))
}

func show(when string, db *tsdb.DB, match *labels.Matcher) {
	querier := must(db.Querier(0, end))
	defer querier.Close()
	samples := 0
	for set := querier.Select(ctx, false, nil, match); set.Next(); {
		for it := set.At().Iterator(nil); it.Next() != chunkenc.ValNone; {
			samples++
		}
	}
	values, _, err := querier.LabelValues(ctx, "caller", nil)
	if err != nil {
		panic(err)
	}
	exemplars := 0
	for _, one := range must(must(db.ExemplarQuerier(ctx)).Select(0, end, []*labels.Matcher{match})) {
		exemplars += len(one.Exemplars)
	}
	files := map[string]bool{}
	filepath.WalkDir("data", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && bytes.Contains(must(os.ReadFile(path)), []byte("erika-muster")) {
			files[strings.Split(path, "/")[1]] = true
		}
		return err
	})
	fmt.Printf("%s: samples %d, exemplars %d, label values %v, on disk in %v\n", when, samples, exemplars, values, files)
}

func main() {
	db := open()
	series := labels.FromStrings("__name__", "call_seconds", "caller", "erika-muster")
	match := labels.MustNewMatcher(labels.MatchEqual, "__name__", "call_seconds")
	appender := db.Appender(ctx)
	for second := int64(1); second <= 5; second++ {
		at := 1_790_000_000_000 + second*1000
		ref := must(appender.Append(0, series, at, 1))
		must(appender.AppendExemplar(ref, series, exemplar.Exemplar{Labels: labels.FromStrings("call", fmt.Sprint(second)), Value: 1, Ts: at, HasTs: true}))
	}
	must(0, appender.Commit())
	show("written", db, match)
	must(0, db.Delete(ctx, 0, end, match))
	show("deleted", db, match)
	must(0, db.CleanTombstones())
	show("cleaned", db, match)
	must(0, db.Close())
	db = open()
	show("restarted", db, match)
	must(0, db.Close())
}
GO
(go mod init prom && go get github.com/prometheus/prometheus@v0.312.0 && go mod tidy && go build -o prom .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
echo "Prometheus tsdb 0.312.0"
seen=$(./prom)
echo "$seen"
[ "$seen" = "written: samples 5, exemplars 5, label values [erika-muster], on disk in map[wal:true]
deleted: samples 0, exemplars 5, label values [erika-muster], on disk in map[wal:true]
cleaned: samples 0, exemplars 5, label values [erika-muster], on disk in map[wal:true]
restarted: samples 0, exemplars 5, label values [erika-muster], on disk in map[wal:true]" ] || changed "other parts stay"
echo "as described"

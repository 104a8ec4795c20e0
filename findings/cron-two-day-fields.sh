#!/usr/bin/env bash
# Tools: robfig/cron v3.0.1 (Go; what Kubernetes' CronJob computes with), croniter 7.0.0, cronsim 2.8, APScheduler 3.11.3 (Python), croner 11.0.1,
#   cron 4.4.0, cron-parser 5.10.6 (Node.js), on crontab lines with a day of the month and a day of the week, in March 2026.
# Expected: five fields mean the same days everywhere: with both day fields set, crontab(5) says, either is enough; 1 is Monday.
# Happens: for "1-7 * 1" all but APScheduler run on each of the seven days and on each Monday; APScheduler, whose week begins with 0 for Monday, on
#   Tuesdays that are among them. A step that begins with a star parts the others: for "*/2 * 1" cronsim, which follows Debian's cron, asks for
#   both (Mondays that are odd days), CronJob and the rest for one of them. "* * 1" alone is Tuesday in `from_crontab`.
# Hurts: a backup "on the first Monday" runs 11 times in March, and `keep-last 12` is a month instead of a year; a monitor that computes with
#   another library reports a job as late that is on time, or says nothing for two weeks of a job that has stopped.
# Instead: set one of the two fields only, and test the other in the job; write days as names (MON); compare the next runs of scheduler and monitor.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check croniter==7.0.0 cronsim==2.8 APScheduler==3.11.3
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund croner@11.0.1 cron@4.4.0 cron-parser@5.10.6
cat > runs.py <<'PY'
import sys
from datetime import datetime, timedelta, timezone
from apscheduler.triggers.cron import CronTrigger
from croniter import croniter
from cronsim import CronSim
line, first = sys.argv[1], datetime(2026, 3, 1)

def march(name, runs):
    days = []
    for at in runs:
        if at.month != 3:
            break
        days.append(str(at.day))
    print(f"  {name}:", " ".join(days))

def by_croniter():
    schedule = croniter(line, first)
    while True:
        yield schedule.get_next(datetime)

def by_apscheduler():
    trigger = CronTrigger.from_crontab(line, timezone=timezone.utc)
    last, now = None, first.replace(tzinfo=timezone.utc)
    while True:
        last = trigger.get_next_fire_time(last, now)
        now = last + timedelta(seconds=1)
        yield last

march("croniter", by_croniter())
march("cronsim", CronSim(line, first))
march("APScheduler", by_apscheduler())
PY
cat > runs.mjs <<'JS'
import { Cron } from 'croner';
import { CronTime } from 'cron';
import parser from 'cron-parser'; // CommonJS
const line = process.argv[2];
const first = new Date('2026-03-01T00:00:00Z');
const march = (name, next) => {
    const days = [];
    for (let at = next(first); at.getUTCMonth() === 2; at = next(at)) days.push(at.getUTCDate());
    console.log(`  ${name}:`, days.join(' '));
};
const croner = new Cron(line, { timezone: 'UTC' });
march('croner', (at) => croner.nextRun(at));
const time = new CronTime(line, 'UTC');
march('cron', (at) => time.getNextDateFrom(at, 'UTC').toJSDate());
const interval = parser.CronExpressionParser.parse(line, { currentDate: first, tz: 'UTC' });
march('cron-parser', () => interval.next().toDate());
JS
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

func main() {
	schedule, err := cron.ParseStandard(os.Args[1])
	if err != nil {
		panic(err)
	}
	fmt.Print("  robfig/cron:")
	for at := schedule.Next(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)); at.Month() == time.March; at = schedule.Next(at) {
		fmt.Print(" ", at.Day())
	}
	fmt.Println()
}
GO
(cd go && go mod init runs && go get github.com/robfig/cron/v3@v3.0.1 && go mod tidy && go build -o ../runs .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
seen=$(for line in "0 3 * * 1" "0 3 1-7 * 1" "0 3 */2 * 1"; do
    echo "$line"
    ./runs "$line"
    node runs.mjs "$line"
    venv/bin/python runs.py "$line"
done)
echo "$seen"
[ "$seen" = "0 3 * * 1
  robfig/cron: 2 9 16 23 30
  croner: 2 9 16 23 30
  cron: 2 9 16 23 30
  cron-parser: 2 9 16 23 30
  croniter: 2 9 16 23 30
  cronsim: 2 9 16 23 30
  APScheduler: 3 10 17 24 31
0 3 1-7 * 1
  robfig/cron: 1 2 3 4 5 6 7 9 16 23 30
  croner: 1 2 3 4 5 6 7 9 16 23 30
  cron: 1 2 3 4 5 6 7 9 16 23 30
  cron-parser: 1 2 3 4 5 6 7 9 16 23 30
  croniter: 1 2 3 4 5 6 7 9 16 23 30
  cronsim: 1 2 3 4 5 6 7 9 16 23 30
  APScheduler: 3
0 3 */2 * 1
  robfig/cron: 1 2 3 5 7 9 11 13 15 16 17 19 21 23 25 27 29 30 31
  croner: 1 2 3 5 7 9 11 13 15 16 17 19 21 23 25 27 29 30 31
  cron: 1 2 3 5 7 9 11 13 15 16 17 19 21 23 25 27 29 30 31
  cron-parser: 1 2 3 5 7 9 11 13 15 16 17 19 21 23 25 27 29 30 31
  croniter: 1 2 3 5 7 9 11 13 15 16 17 19 21 23 25 27 29 30 31
  cronsim: 9 23
  APScheduler: 3 17 31" ] || changed "other days"
echo "as described"

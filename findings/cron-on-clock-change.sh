#!/usr/bin/env bash
# Tools: robfig/cron v3.0.1 (Go; what Kubernetes' CronJob computes with), APScheduler 3.11.3, croniter 7.0.0, cronsim 2.8 (Python),
#   croner 11.0.1, cron 4.4.0, cron-parser 5.10.6 (Node.js). One daily job in zones whose clock goes forward that day.
# Expected: one rule for all gaps: a library either runs a job whose time does not exist later on that day, or leaves it out.
# Happens: robfig/cron leaves the job out in every gap; croner, croniter and cronsim run it once in every gap. The others have no one rule:
#   APScheduler runs New York's missing 02:30 (an hour later by the clock), but where midnight itself is missing, as in Cairo,
#   it leaves the whole day out. cron-parser runs in New York and Cairo, but leaves the day out on Lord Howe Island, whose gap is half
#   an hour. `cron` runs the job there twice, 15 minutes before and 15 minutes after its time.
# Hurts: a nightly purge or backup at midnight misses one day a year in Egypt (or Chile), by a library that was tested with New York;
#   a job that must run once a day runs twice on Lord Howe Island.
# Instead: schedule such jobs in UTC, or make them catch up (what is due is what is overdue, whenever the job last ran).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check APScheduler==3.11.3 croniter==7.0.0 cronsim==2.8 tzdata==2026.6
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund croner@11.0.1 cron@4.4.0 cron-parser@5.10.6 luxon@3.7.2
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

func main() {
	rule, zone, day := os.Args[1], os.Args[2], os.Args[3]
	place, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	schedule, err := cron.ParseStandard("TZ=" + zone + " " + rule)
	if err != nil {
		panic(err)
	}
	now, _ := time.ParseInLocation("2006-01-02 15:04", day+" 12:00", place)
	fmt.Print("robfig ")
	for end := now.Add(24 * time.Hour); ; {
		if now = schedule.Next(now); now.After(end) {
			break
		}
		fmt.Print(" ", now.UTC().Format("15:04"))
	}
	fmt.Println()
}
GO
(cd go && go mod init fire && go get github.com/robfig/cron/v3@v3.0.1 && go build -o ../robfig .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
cat > fire.py <<'PY'
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo
from apscheduler.triggers.cron import CronTrigger
from croniter import croniter
from cronsim import CronSim
rule, zone, day = sys.argv[1:]
start = datetime.fromisoformat(day + "T12:00").replace(tzinfo=ZoneInfo(zone))
end = start.astimezone(timezone.utc) + timedelta(hours=24)

def show(name, times):
    found = []
    for time in times:
        time = time.astimezone(timezone.utc)
        if time > end:
            break
        found.append(f"{time:%H:%M}")
    print(name, "", *found)

def apscheduler():
    trigger, last = CronTrigger.from_crontab(rule, timezone=ZoneInfo(zone)), None
    while True:
        last = trigger.get_next_fire_time(last, last or start)
        yield last

def with_croniter():
    rest = croniter(rule, start)
    while True:
        yield rest.get_next(datetime)

show("apscheduler", apscheduler())
show("croniter", with_croniter())
show("cronsim", CronSim(rule, start))
PY
cat > fire.mjs <<'JS'
import { Cron } from 'croner';
import { CronTime } from 'cron';
import { CronExpressionParser } from 'cron-parser';
import { DateTime } from 'luxon';
const [rule, zone, day] = process.argv.slice(2);
const start = DateTime.fromISO(day + 'T12:00', { zone });
const end = start.toMillis() + 24 * 3600e3;
function show(name, next) {
  const found = [];
  for (let time = next(start.toJSDate()); time.getTime() <= end; time = next(time)) found.push(time.toISOString().slice(11, 16));
  console.log(name, '', ...found);
}
const croner = new Cron(rule, { timezone: zone, paused: true });
show('croner', (last) => croner.nextRun(last));
const cron = new CronTime(rule, zone);
show('cron', (last) => cron.getNextDateFrom(DateTime.fromJSDate(last).setZone(zone), zone).toJSDate());
const parser = CronExpressionParser.parse(rule, { currentDate: start.toJSDate(), tz: zone });
show('cron-parser', () => parser.next().toDate());
JS
seen=""
for job in "0 0 * * *|Africa/Cairo|2026-04-23" "30 2 * * *|America/New_York|2026-03-07" "15 2 * * *|Australia/Lord_Howe|2026-10-03"; do
    IFS='|' read -r rule zone day <<<"$job"
    line="$zone, '$rule', the 24 hours from noon of $day (times in UTC):"$'\n'
    line+=$({ ./robfig "$rule" "$zone" "$day"; venv/bin/python fire.py "$rule" "$zone" "$day"; node fire.mjs "$rule" "$zone" "$day"; } | sed 's/ *$//')
    echo "$line"
    seen+="$(sed 's/^/  /' <<<"$line")"$'\n'
done
want="  Africa/Cairo, '0 0 * * *', the 24 hours from noon of 2026-04-23 (times in UTC):
  robfig
  apscheduler
  croniter  22:00
  cronsim  22:00
  croner  22:00
  cron  22:00
  cron-parser  22:00
  America/New_York, '30 2 * * *', the 24 hours from noon of 2026-03-07 (times in UTC):
  robfig
  apscheduler  07:30
  croniter  07:00
  cronsim  07:00
  croner  07:00
  cron  07:00
  cron-parser  07:30
  Australia/Lord_Howe, '15 2 * * *', the 24 hours from noon of 2026-10-03 (times in UTC):
  robfig
  apscheduler  15:45
  croniter  15:30
  cronsim  15:30
  croner  15:30
  cron  15:15 15:45
  cron-parser
"
[ "$seen" = "$want" ] || changed "other runs than described"
echo "as described"

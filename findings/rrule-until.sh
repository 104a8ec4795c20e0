#!/usr/bin/env bash
# Tools: rrule 2.8.1 and rrule-temporal 2.2.8 (Node.js), python-dateutil 2.9.0.post0, recurring-ical-events 3.8.2 (Python), one iCalendar rule.
# Expected: UNTIL in UTC ends a rule at that instant (RFC 5545), so all list the same days; a day whose local time does not exist is
#   left out and not counted (RFC 5545, 3.3.10).
# Happens: rrule compares the local time with UNTIL as if both were of one zone. East of Greenwich the last day is
#   lost; west of it a day too many comes. Of the four only rrule-temporal leaves out the day on which the clock goes forward, so that
#   with COUNT its last date is one day later than that of the three others.
# Hurts: a review, a legal hold or a purge "until the end of the contract" ends a day early or runs a day after its end, by which library
#   the calendar page and the job behind it use.
# Instead: expand the rule in one place and store the dates; where rrule must be used, write UNTIL as the last local time with a Z.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-dateutil==2.9.0.post0 recurring-ical-events==3.8.2 icalendar==7.3.2 tzdata==2026.6
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund rrule@2.8.1 rrule-temporal@2.2.8
cat > days.mjs <<'JS'
import rrule from 'rrule';
import { RRuleTemporal } from 'rrule-temporal';
const [zone, start, rule] = process.argv.slice(2);
const text = `DTSTART;TZID=${zone}:${start}\nRRULE:${rule}`;
const days = (zoned) => zoned.map((day) => new Intl.DateTimeFormat('sv', { timeZone: zone, month: '2-digit', day: '2-digit' }).format(day));
console.log('  rrule:', ...days(rrule.rrulestr(text).all()));
console.log('  rrule-temporal:', ...days(new RRuleTemporal({ rruleString: text }).all().map((day) => new Date(day.epochMilliseconds))));
JS
cat > days.py <<'PY'
import sys
from datetime import datetime
import icalendar, recurring_ical_events
from dateutil import rrule, tz
zone, start, rule = sys.argv[1:]
first = datetime.strptime(start, "%Y%m%dT%H%M%S").replace(tzinfo=tz.gettz(zone))
print("  dateutil:", *(f"{day:%d/%m}" for day in rrule.rrulestr("RRULE:" + rule, dtstart=first)))
lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:example", "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z",
         f"DTSTART;TZID={zone}:{start}", "RRULE:" + rule, "END:VEVENT", "END:VCALENDAR", ""]
events = recurring_ical_events.of(icalendar.Calendar.from_ical("\r\n".join(lines))).between((2026, 1, 1), (2027, 1, 1))
print("  recurring-ical-events:", *(f"{day:%d/%m}" for day in sorted(event["DTSTART"].dt for event in events)))
PY
seen=""
while IFS='|' read -r zone start rule; do
    block="$zone $start $rule"$'\n'$(node days.mjs "$zone" "$start" "$rule"; venv/bin/python days.py "$zone" "$start" "$rule")
    echo "$block"
    seen+="$block"$'\n'
done <<'RULES'
Europe/Berlin|20260330T090000|FREQ=DAILY;UNTIL=20260401T070000Z
America/New_York|20260330T090000|FREQ=DAILY;UNTIL=20260401T125959Z
America/New_York|20260306T023000|FREQ=DAILY;COUNT=4
RULES
want="Europe/Berlin 20260330T090000 FREQ=DAILY;UNTIL=20260401T070000Z
  rrule: 30/03 31/03
  rrule-temporal: 30/03 31/03 01/04
  dateutil: 30/03 31/03 01/04
  recurring-ical-events: 30/03 31/03 01/04
America/New_York 20260330T090000 FREQ=DAILY;UNTIL=20260401T125959Z
  rrule: 30/03 31/03 01/04
  rrule-temporal: 30/03 31/03
  dateutil: 30/03 31/03
  recurring-ical-events: 30/03 31/03
America/New_York 20260306T023000 FREQ=DAILY;COUNT=4
  rrule: 06/03 07/03 08/03 09/03
  rrule-temporal: 06/03 07/03 09/03 10/03
  dateutil: 06/03 07/03 08/03 09/03
  recurring-ical-events: 06/03 07/03 08/03 09/03
"
[ "$seen" = "$want" ] || changed "other days than described"
echo "as described"

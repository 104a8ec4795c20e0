#!/usr/bin/env bash
# Tools: readers of iCalendar that a dialler takes its call-backs from: icalevents 0.3.1 and vobject 0.9.9 (Python), node-ical 0.26.1 and ical-expander 3.2.0 (Node.js), beside
#   recurring-ical-events 3.8.2 (Python) and ical.js 2.2.1.
# Expected: a weekly call-back at nine that was moved "this and all following" to 18:30 (RECURRENCE-ID with RANGE=THISANDFUTURE, RFC 5545) is at 18:30 from then on, in each reader
#   that knows series and exceptions, or it says that it does not; one that was cancelled alone (STATUS:CANCELLED) is not among those to come.
# Happens: icalevents and node-ical move the one occurrence that is named, and leave the next ones at nine. vobject's rruleset has all at nine, the moved and the
#   cancelled ones as well. The other three move them all. All list the cancelled one among the others:
#   vobject as if nothing had happened, the others told apart by its status alone. No error or warning anywhere.
# Why: node-ical files exceptions by date and drops the parameter RANGE; icalevents replaces the occurrence of that RECURRENCE-ID; vobject reads RDATE, RRULE and EXDATE only.
# Hurts: a patient who asked not to be called at work is called there, about the illness, each week but the first; one who withdrew from a call gets it. A test with
#   one moved appointment passes.
# Instead: recurring-ical-events or ical.js; leave out occurrences whose status is CANCELLED; refuse a calendar with RANGE= in other readers; let the
#   application that writes end the series with UNTIL and begin another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check icalevents==0.3.1 vobject==0.9.9 recurring-ical-events==3.8.2 icalendar==7.3.2
npm install --silent --no-audit --no-fund node-ical@0.26.1 ical-expander@3.2.0 ical.js@2.2.1
cat > calls.py <<'PY'
import datetime
import icalendar, recurring_ical_events, vobject
from icalevents.icalevents import events

def event(start, *lines):
    return ["BEGIN:VEVENT", "UID:call-back", "DTSTAMP:20270101T000000Z", f"DTSTART:{start}00Z", "DURATION:PT15M", "SUMMARY:call back", *lines, "END:VEVENT"]

series = event("20270104T0900", "RRULE:FREQ=WEEKLY;COUNT=6")
calendars = {
    "as planned": series,
    "one moved": series + event("20270118T1830", "RECURRENCE-ID:20270118T090000Z"),
    "moved from 18 January on": series + event("20270118T1830", "RECURRENCE-ID;RANGE=THISANDFUTURE:20270118T090000Z"),
    "one cancelled": series + event("20270118T0900", "RECURRENCE-ID:20270118T090000Z", "STATUS:CANCELLED"),
}
begin, end = datetime.datetime(2027, 1, 1), datetime.datetime(2027, 3, 1)
for name, lines in calendars.items():
    text = "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//example//calls//EN", *lines, "END:VCALENDAR", ""])
    with open(name + ".ics", "w", newline="") as file:
        file.write(text)
    def tell(library, found):
        times = [f"({start:%H:%M})" if status == "CANCELLED" else f"{start:%H:%M}" for start, status in sorted(found, key=lambda one: one[0])]
        print(f"{name}: {library}: {' '.join(times)}")
    tell("icalevents", [(one.start, one.status) for one in events(file=name + ".ics", start=begin, end=end)])
    tell("vobject", [(start, None) for start in vobject.readOne(text).vevent.rruleset])
    found = recurring_ical_events.of(icalendar.Calendar.from_ical(text)).between(begin, end)
    tell("recurring-ical-events", [(one["DTSTART"].dt, str(one.get("STATUS", ""))) for one in found])
PY
cat > calls.mjs <<'JS'
import fs from "node:fs";
import ICAL from "ical.js";
import Expander from "ical-expander";
import nodeIcal from "node-ical";

const from = new Date("2027-01-01T00:00:00Z");
const to = new Date("2027-03-01T00:00:00Z");
for (const name of ["as planned", "one moved", "moved from 18 January on", "one cancelled"]) {
  const text = fs.readFileSync(`${name}.ics`, "utf8");
  const tell = (library, found) => {
    const times = found.sort().map(([start, state]) => (state === "CANCELLED" ? `(${start.slice(11, 16)})` : start.slice(11, 16)));
    console.log(`${name}: ${library}: ${times.join(" ")}`);
  };
  const series = Object.values(nodeIcal.sync.parseICS(text)).find((entry) => entry.type === "VEVENT");
  tell("node-ical", nodeIcal.expandRecurringEvent(series, { from, to }).map((one) => [one.start.toISOString(), one.event?.status]));
  const status = (item) => item.component.getFirstPropertyValue("status");
  const found = new Expander({ ics: text, maxIterations: 100 }).between(from, to);
  tell("ical-expander", [...found.events, ...found.occurrences].map((one) => [one.startDate.toString(), status(one.item ?? one)]));
  const all = new ICAL.Component(ICAL.parse(text)).getAllSubcomponents("vevent").map((entry) => new ICAL.Event(entry));
  const main = all.find((entry) => !entry.isRecurrenceException());
  for (const entry of all) if (entry !== main && !main.exceptions[entry.recurrenceId.toString()]) main.relateException(entry);
  const steps = main.iterator();
  const details = [];
  for (let next = steps.next(); next; next = steps.next()) details.push(main.getOccurrenceDetails(next));
  tell("ical.js", details.map((one) => [one.startDate.toString(), status(one.item)]));
}
JS
seen=$(venv/bin/python calls.py; node calls.mjs)
echo "$seen"
[ "$seen" = 'as planned: icalevents: 09:00 09:00 09:00 09:00 09:00 09:00
as planned: vobject: 09:00 09:00 09:00 09:00 09:00 09:00
as planned: recurring-ical-events: 09:00 09:00 09:00 09:00 09:00 09:00
one moved: icalevents: 09:00 09:00 18:30 09:00 09:00 09:00
one moved: vobject: 09:00 09:00 09:00 09:00 09:00 09:00
one moved: recurring-ical-events: 09:00 09:00 18:30 09:00 09:00 09:00
moved from 18 January on: icalevents: 09:00 09:00 18:30 09:00 09:00 09:00
moved from 18 January on: vobject: 09:00 09:00 09:00 09:00 09:00 09:00
moved from 18 January on: recurring-ical-events: 09:00 09:00 18:30 18:30 18:30 18:30
one cancelled: icalevents: 09:00 09:00 (09:00) 09:00 09:00 09:00
one cancelled: vobject: 09:00 09:00 09:00 09:00 09:00 09:00
one cancelled: recurring-ical-events: 09:00 09:00 (09:00) 09:00 09:00 09:00
as planned: node-ical: 09:00 09:00 09:00 09:00 09:00 09:00
as planned: ical-expander: 09:00 09:00 09:00 09:00 09:00 09:00
as planned: ical.js: 09:00 09:00 09:00 09:00 09:00 09:00
one moved: node-ical: 09:00 09:00 18:30 09:00 09:00 09:00
one moved: ical-expander: 09:00 09:00 18:30 09:00 09:00 09:00
one moved: ical.js: 09:00 09:00 18:30 09:00 09:00 09:00
moved from 18 January on: node-ical: 09:00 09:00 18:30 09:00 09:00 09:00
moved from 18 January on: ical-expander: 09:00 09:00 18:30 18:30 18:30 18:30
moved from 18 January on: ical.js: 09:00 09:00 18:30 18:30 18:30 18:30
one cancelled: node-ical: 09:00 09:00 (09:00) 09:00 09:00 09:00
one cancelled: ical-expander: 09:00 09:00 (09:00) 09:00 09:00 09:00
one cancelled: ical.js: 09:00 09:00 (09:00) 09:00 09:00 09:00' ] || changed "other times"
echo "as described"

#!/usr/bin/env bash
# Tools: luxon 3.7.2, moment 2.31.0, dayjs 1.11.23, iso8601-duration 2.1.4, parse-duration 2.1.9, ms 2.1.3, temporal-polyfill 1.0.8
#   (Node.js); pendulum 3.3.0, isodate 0.7.2, aniso8601 10.0.1, pydantic 2.14.4, pytimeparse 1.1.8 (Python).
# Expected: an ISO 8601 period (P18M, P20Y) counts by the calendar or is refused; 240 months are 20 years; 7,300 days are fewer.
# Happens: - From 29 February 2024 on, P20Y ends on 29 February 2044 in most; in aniso8601, pydantic and dayjs (by milliseconds) five days
#     earlier. pendulum has both: added to its own date it is right, added to a date of the standard library it is five days early.
#   - P18M from 31 August 2026: 29 February 2028 in most, 2 March in iso8601-duration, 22 February in aniso8601 and pydantic.
#   - Compared by their lengths, 240 months are less than 20 years in luxon, pendulum, aniso8601 and pydantic; 7,300 days are 20 years
#     in those and dayjs, though twenty years have 7,305 days. Only moment is right in both.
#   - parse-duration reads P18M as 18 minutes; it, ms and pytimeparse read "18M" so. No error.
# Hurts: a check "keep at least 20 years" passes 7,300 days and refuses 240 months; records are destroyed five days (or eighteen
#   months) early by the service that took the other library.
# Instead: keep periods as text with a unit, add them to the anchor's date in one place by the calendar, and compare the dates that come
#   out, for the worst anchor, never the lengths; refuse "m" and "M".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pendulum==3.3.0 isodate==0.7.2 aniso8601==10.0.1 pydantic==2.14.4 pytimeparse==1.1.8 \
    python-dateutil==2.9.0.post0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund luxon@3.7.2 moment@2.31.0 dayjs@1.11.23 iso8601-duration@2.1.4 parse-duration@2.1.9 ms@2.1.3 temporal-polyfill@1.0.8
cat > periods.mjs <<'JS'
import dayjs from 'dayjs';
import plugin from 'dayjs/plugin/duration.js';
import { end, parse } from 'iso8601-duration';
import { DateTime, Duration } from 'luxon';
import moment from 'moment';
import ms from 'ms';
import parseDuration from 'parse-duration';
import { Temporal } from 'temporal-polyfill';
dayjs.extend(plugin);
for (const [period, day] of [['P20Y', '2024-02-29'], ['P18M', '2026-08-31']]) {
  const show = (name, date) => console.log(`${period} from ${day}, ${name}: ${typeof date === 'string' ? date : date.toISOString().slice(0, 10)}`);
  show('luxon', DateTime.fromISO(day).plus(Duration.fromISO(period)).toISODate());
  show('moment', moment.utc(day).add(moment.duration(period)));
  show('temporal', Temporal.PlainDate.from(day).add(period).toString());
  show('iso8601-duration', end(parse(period), new Date(day)));
  show('dayjs', dayjs(day).add(dayjs.duration(period)));
  show('dayjs by milliseconds', dayjs(day).add(dayjs.duration(period).asMilliseconds(), 'ms'));
}
const days = { luxon: (text) => Duration.fromISO(text).as('days'), moment: (text) => moment.duration(text).asDays(), dayjs: (text) => dayjs.duration(text).asDays() };
for (const [name, of] of Object.entries(days)) {
  console.log(`${name}: 240 months at least 20 years ${of('P240M') >= of('P20Y')}, 7300 days ${of('P7300D') >= of('P20Y')}`);
}
console.log(`parse-duration: P18M is ${parseDuration('P18M', 'minute')} minutes, 18M ${parseDuration('18M', 'minute')}; ms: 18M is ${ms('18M') / 60000}`);
JS
cat > periods.py <<'PY'
import datetime
import aniso8601, isodate, pendulum, pydantic, pytimeparse
day = datetime.date.fromisoformat
with_pydantic = pydantic.TypeAdapter(datetime.timedelta).validate_python
for period, start in (("P20Y", "2024-02-29"), ("P18M", "2026-08-31")):
    def show(name, date):
        print(f"{period} from {start}, {name}: {date:%Y-%m-%d}")
    show("isodate", day(start) + isodate.parse_duration(period))
    show("pendulum, own date", pendulum.parse(start) + pendulum.parse(period))
    show("pendulum, standard date", day(start) + pendulum.parse(period))
    show("aniso8601", day(start) + aniso8601.parse_duration(period))
    show("pydantic", day(start) + with_pydantic(period))
for name, read in (("pendulum", pendulum.parse), ("aniso8601", aniso8601.parse_duration), ("pydantic", with_pydantic)):
    print(f"{name}: 240 months at least 20 years {read('P240M') >= read('P20Y')}, 7300 days {read('P7300D') >= read('P20Y')}")
print("pytimeparse: 18M is", pytimeparse.parse("18M") // 60, "minutes")
PY
seen=$(node periods.mjs; venv/bin/python periods.py)
echo "$seen"
[ "$seen" = "P20Y from 2024-02-29, luxon: 2044-02-29
P20Y from 2024-02-29, moment: 2044-02-29
P20Y from 2024-02-29, temporal: 2044-02-29
P20Y from 2024-02-29, iso8601-duration: 2044-02-29
P20Y from 2024-02-29, dayjs: 2044-02-29
P20Y from 2024-02-29, dayjs by milliseconds: 2044-02-24
P18M from 2026-08-31, luxon: 2028-02-29
P18M from 2026-08-31, moment: 2028-02-29
P18M from 2026-08-31, temporal: 2028-02-29
P18M from 2026-08-31, iso8601-duration: 2028-03-02
P18M from 2026-08-31, dayjs: 2028-02-29
P18M from 2026-08-31, dayjs by milliseconds: 2028-02-29
luxon: 240 months at least 20 years false, 7300 days true
moment: 240 months at least 20 years true, 7300 days false
dayjs: 240 months at least 20 years true, 7300 days true
parse-duration: P18M is 18 minutes, 18M 18; ms: 18M is 18
P20Y from 2024-02-29, isodate: 2044-02-29
P20Y from 2024-02-29, pendulum, own date: 2044-02-29
P20Y from 2024-02-29, pendulum, standard date: 2044-02-24
P20Y from 2024-02-29, aniso8601: 2044-02-24
P20Y from 2024-02-29, pydantic: 2044-02-24
P18M from 2026-08-31, isodate: 2028-02-29
P18M from 2026-08-31, pendulum, own date: 2028-02-29
P18M from 2026-08-31, pendulum, standard date: 2028-02-22
P18M from 2026-08-31, aniso8601: 2028-02-22
P18M from 2026-08-31, pydantic: 2028-02-22
pendulum: 240 months at least 20 years False, 7300 days True
aniso8601: 240 months at least 20 years False, 7300 days True
pydantic: 240 months at least 20 years False, 7300 days True
pytimeparse: 18M is 18 minutes" ] || changed "other dates than described"
echo "as described"

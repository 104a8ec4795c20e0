#!/usr/bin/env bash
# Tools: moment-hijri 3.0.0 and hijri-converter 1.1.1 (Node.js), hijridate 2.6.0 and convertdate 2.5.1 (Python), Node's Intl and java.time for the
#   Umm al-Qura calendar; khayyam 3.0.17 beside jdatetime 6.1.1, persiantools 6.2.0 and jalaali-js 2.0.1 for the Persian one.
# Expected: a date has one name in each of these calendars, and a library that has no table for a year says so.
# Happens: tables end with the year 1500 (November 2077). A term of 60 Hijri years that begins now ends, by moment-hijri, in the year -100100, and
#   it calls that date valid; a date of 1502 that is read becomes one of the year 1001. hijri-converter gives the year -100100 too. hijridate
#   refuses, convertdate counts on with another calendar and is a day off today already, java.time and Intl go on to 1600. khayyam has the
#   leap day of the Persian calendar in 1404 instead of 1403: each date from 20 March 2025 to 20 March 2026 is a day off.
# Hurts: a retention "until death plus ten years", or of a child's records, counted in Hijri years as the law says it, has ended before it
#   began, and a destroyer that trusts the date destroys at once; records of one day stand under two dates by service.
# Instead: compute terms with java.time or Intl and store the Gregorian date beside; refuse every end that is not after its begin, and years
#   of which the library has no table.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

npm init --yes >/dev/null
npm install --silent --no-audit --no-fund moment-hijri@3.0.0 hijri-converter@1.1.1 jalaali-js@2.0.1
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hijridate==2.6.0 convertdate==2.5.1 Khayyam==3.0.17 jdatetime==6.1.1 persiantools==6.2.0
cat > dates.cjs <<'JS'
const hijri = require('moment-hijri'), converter = require('hijri-converter'), jalaali = require('jalaali-js');
hijri.locale('en');
const day = (m) => `${m.format('YYYY-MM-DD')}, valid ${m.isValid()}`;
const begin = () => hijri('2026-11-29');
console.log('moment-hijri, today:', begin().format('iYYYY-iMM-iDD'));
console.log('moment-hijri, today + 50 years:', day(begin().add(50, 'iYear')));
console.log('moment-hijri, today + 60 years:', day(begin().add(60, 'iYear')));
console.log('moment-hijri, 1 Muharram 1502:', day(hijri('1502/01/01', 'iYYYY/iMM/iDD')));
console.log('hijri-converter, 1 Muharram 1530:', converter.toGregorian(1530, 1, 1).gy);
const parts = Object.fromEntries(new Intl.DateTimeFormat('en-u-ca-islamic-umalqura-nu-latn', { year: 'numeric', month: '2-digit', day: '2-digit', timeZone: 'UTC' })
    .formatToParts(new Date('2026-11-29')).map(({ type, value }) => [type, value]));
console.log('Intl, today:', `${parts.year}-${parts.month}-${parts.day}`);
const { jy, jm, jd } = jalaali.toJalaali(2025, 3, 20);
console.log('jalaali-js, 20 March 2025:', `${jy}-${jm}-${jd}`);
JS
cat > dates.py <<'PY'
from datetime import date
from convertdate import islamic
from hijridate import Gregorian, Hijri
from persiantools.jdatetime import JalaliDate
import jdatetime, khayyam
print("hijridate, today:", Gregorian(2026, 11, 29).to_hijri())
try:
    print("hijridate, 1 Muharram 1502:", Hijri(1502, 1, 1).to_gregorian())
except (OverflowError, ValueError):
    print("hijridate, 1 Muharram 1502: error")
print("convertdate, today: {}-{:02}-{:02}".format(*islamic.from_gregorian(2026, 11, 29)))
print("convertdate, 1 Muharram 1502:", date(*islamic.to_gregorian(1502, 1, 1)))
for first in (date(2025, 3, 19), date(2025, 3, 20), date(2026, 3, 20), date(2026, 3, 21)):
    print(f"{first}: jdatetime {jdatetime.date.fromgregorian(date=first)!s}, persiantools {JalaliDate(first)!s}, khayyam {khayyam.JalaliDate(first)!s}")
PY
cat > Dates.java <<'JAVA'
import java.time.LocalDate;
import java.time.chrono.HijrahDate;
import java.time.temporal.ChronoUnit;

public class Dates {
    public static void main(String[] none) {
        HijrahDate today = HijrahDate.from(LocalDate.of(2026, 11, 29));
        System.out.println("java.time, today + 50 years: " + LocalDate.from(today.plus(50, ChronoUnit.YEARS)));
        System.out.println("java.time, today + 60 years: " + LocalDate.from(today.plus(60, ChronoUnit.YEARS)));
        System.out.println("java.time, 1 Muharram 1502: " + LocalDate.from(HijrahDate.of(1502, 1, 1)));
    }
}
JAVA
node --version
python3 --version
java -version 2>&1 | head -n 1
seen=$(node dates.cjs; venv/bin/python dates.py; java Dates.java)
echo "$seen"
[ "$seen" = "moment-hijri, today: 1448-06-19
moment-hijri, today + 50 years: 2075-06-03, valid true
moment-hijri, today + 60 years: -100100-03-01, valid true
moment-hijri, 1 Muharram 1502: 1001-03-01, valid true
hijri-converter, 1 Muharram 1530: -100100
Intl, today: 1448-06-19
jalaali-js, 20 March 2025: 1403-12-30
hijridate, today: 1448-06-19
hijridate, 1 Muharram 1502: error
convertdate, today: 1448-06-18
convertdate, 1 Muharram 1502: 2078-11-06
2025-03-19: jdatetime 1403-12-29, persiantools 1403-12-29, khayyam 1403-12-29
2025-03-20: jdatetime 1403-12-30, persiantools 1403-12-30, khayyam 1404-01-01
2026-03-20: jdatetime 1404-12-29, persiantools 1404-12-29, khayyam 1404-12-30
2026-03-21: jdatetime 1405-01-01, persiantools 1405-01-01, khayyam 1405-01-01
java.time, today + 50 years: 2075-06-03
java.time, today + 60 years: 2085-02-14
java.time, 1 Muharram 1502: 2078-11-06" ] || changed "other dates"
echo "as described"

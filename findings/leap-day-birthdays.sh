#!/usr/bin/env bash
# Tools: luxon 3.7.2, dayjs 1.11.23, moment 2.31.0, date-fns 4.4.0, temporal-polyfill 1.0.8, fhirpath 5.2.2 (Node.js); python-dateutil
#   2.9.0.post0, pendulum 3.3.0, fhirpathpy 2.2.4 (Python); java.time (of the Java that runs here).
# Expected: how old somebody is who was born on 29 February 2008 is a settled matter: 17 on 28 February 2026, 18 on 1 March.
# Happens: on 28 February 2026 luxon, dayjs, moment and dateutil say 18, date-fns, Temporal, pendulum and java.time say 17. And where a
#   library says 17, adding 18 years to the birthday still gives 28 February: "born + 18 years <= today" is true while "age >= 18" is false.
# Hurts: a retention that runs "until the child is 18, then ..." begins a day early or late by the library; a page that computes the age and
#   a job that adds years disagree for one day on whether the guardian may listen to the recording.
# Instead: write down which day counts (it differs by country), compute the day once when the birthday is recorded, and compare dates.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-dateutil==2.9.0.post0 pendulum==3.3.0 fhirpathpy==2.2.4
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund luxon@3.7.2 dayjs@1.11.23 moment@2.31.0 date-fns@4.4.0 temporal-polyfill@1.0.8 fhirpath@5.2.2
cat > ages.mjs <<'JS'
import { addYears, differenceInYears } from 'date-fns';
import dayjs from 'dayjs';
import fhirpath from 'fhirpath';
import { DateTime } from 'luxon';
import moment from 'moment';
import { Temporal } from 'temporal-polyfill';
const [born, today] = ['2008-02-29', '2026-02-28'];
const show = (name, age, adult) => console.log(`${name}: age ${Math.floor(age)}, born + 18 years is ${adult}`);
show('luxon', DateTime.fromISO(today).diff(DateTime.fromISO(born), 'years').years, DateTime.fromISO(born).plus({ years: 18 }).toISODate());
show('dayjs', dayjs(today).diff(born, 'year'), dayjs(born).add(18, 'year').format('YYYY-MM-DD'));
show('moment', moment(today).diff(born, 'years'), moment(born).add(18, 'years').format('YYYY-MM-DD'));
show('date-fns', differenceInYears(today, born), addYears(born, 18).toISOString().slice(0, 10));
show('Temporal', Temporal.PlainDate.from(born).until(today, { largestUnit: 'year' }).years, Temporal.PlainDate.from(born).add({ years: 18 }).toString());
console.log(`fhirpath: @${born} + 18 years <= @${today} is ${fhirpath.evaluate({}, `@${born} + 18 years <= @${today}`)}`);
JS
cat > ages.py <<'PY'
import datetime
import fhirpathpy, pendulum
from dateutil.relativedelta import relativedelta
born, today = datetime.date(2008, 2, 29), datetime.date(2026, 2, 28)
print(f"dateutil: age {relativedelta(today, born).years}, born + 18 years is {born + relativedelta(years=18)}")
later = pendulum.date(2008, 2, 29)
print(f"pendulum: age {later.diff(pendulum.date(2026, 2, 28)).in_years()}, born + 18 years is {later.add(years=18)}")
print("fhirpathpy: @2008-02-29 + 18 years <= @2026-02-28 is", *fhirpathpy.evaluate({}, "@2008-02-29 + 18 years <= @2026-02-28", {}))
PY
cat > Ages.java <<'JAVA'
import java.time.*;

public class Ages {
    public static void main(String[] none) {
        LocalDate born = LocalDate.of(2008, 2, 29), today = LocalDate.of(2026, 2, 28);
        System.out.println("java.time: age " + Period.between(born, today).getYears() + ", born + 18 years is " + born.plusYears(18));
    }
}
JAVA
seen=$(node ages.mjs; venv/bin/python ages.py 2>/dev/null; java Ages.java)
echo "$seen"
[ "$seen" = "luxon: age 18, born + 18 years is 2026-02-28
dayjs: age 18, born + 18 years is 2026-02-28
moment: age 18, born + 18 years is 2026-02-28
date-fns: age 17, born + 18 years is 2026-02-28
Temporal: age 17, born + 18 years is 2026-02-28
fhirpath: @2008-02-29 + 18 years <= @2026-02-28 is true
dateutil: age 18, born + 18 years is 2026-02-28
pendulum: age 17, born + 18 years is 2026-02-28
fhirpathpy: @2008-02-29 + 18 years <= @2026-02-28 is True
java.time: age 17, born + 18 years is 2026-02-28" ] || changed "other ages than described"
echo "as described"

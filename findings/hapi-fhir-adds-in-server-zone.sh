#!/usr/bin/env bash
# Tool: HAPI FHIR structures R4 8.12.1 (Java), the `add` of its own DateTimeType.
# Expected: a FHIR time that carries its offset, plus one month, is the same local time one month later, wherever the server runs.
# Happens: the month is added in the default time zone of the Java process; the offset of the value is only put on afterwards. One
#   value has two ends: in a process in UTC or Tokyo, 29 January 23:30 -05:00 plus one month is 27 February, in New York 28 February. A value in
#   UTC changes its hour when the clock of the server's zone goes forward in between.
# Hurts: the end of a retention or consent period moves by up to a day with the TZ of the container; two replicas on differently set up
#   nodes, or a test on a laptop, disagree, and what is deleted a day early is gone.
# Instead: add with java.time: OffsetDateTime.parse(value.getValueAsString()).plusMonths(1), or in the zone that the rule names; set
#   -Duser.timezone=UTC and do not rely on it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>ca.uhn.hapi.fhir</groupId><artifactId>hapi-fhir-structures-r4</artifactId><version>8.12.1</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
ls jars | grep '^hapi-fhir-structures'
cat > Add.java <<'JAVA'
import java.time.OffsetDateTime;
import java.util.Calendar;
import java.util.TimeZone;
import org.hl7.fhir.r4.model.DateTimeType;

public class Add {
    public static void main(String[] arguments) {
        for (String text : new String[] {"2026-01-29T23:30:00-05:00", "2026-02-28T10:00:00Z"}) {
            System.out.println(text + " + 1 month, java.time: " + OffsetDateTime.parse(text).plusMonths(1));
            for (String zone : new String[] {"UTC", "America/New_York", "Asia/Tokyo"}) {
                TimeZone.setDefault(TimeZone.getTimeZone(zone));
                DateTimeType time = new DateTimeType(text);
                time.add(Calendar.MONTH, 1);
                System.out.printf("%s + 1 month, in %s: %s%n", text, zone, time.getValueAsString());
            }
        }
    }
}
JAVA
seen=$(java -cp 'jars/*' Add.java 2>java.log)
echo "$seen"
[ "$seen" = "2026-01-29T23:30:00-05:00 + 1 month, java.time: 2026-02-28T23:30-05:00
2026-01-29T23:30:00-05:00 + 1 month, in UTC: 2026-02-27T23:30:00-05:00
2026-01-29T23:30:00-05:00 + 1 month, in America/New_York: 2026-02-28T23:30:00-05:00
2026-01-29T23:30:00-05:00 + 1 month, in Asia/Tokyo: 2026-02-27T23:30:00-05:00
2026-02-28T10:00:00Z + 1 month, java.time: 2026-03-28T10:00Z
2026-02-28T10:00:00Z + 1 month, in UTC: 2026-03-28T10:00:00Z
2026-02-28T10:00:00Z + 1 month, in America/New_York: 2026-03-28T09:00:00Z
2026-02-28T10:00:00Z + 1 month, in Asia/Tokyo: 2026-03-28T10:00:00Z" ] || changed "other times than described"
echo "as described"

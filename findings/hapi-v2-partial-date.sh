#!/usr/bin/env bash
# Tools: HAPI HL7v2 2.6.0 (Java), beside hl7 0.4.5 and hl7apy 1.3.5 (Python), on HL7 v2 times of less than a day's precision.
# Expected: "202602" (February 2026) and "2026" read as a time are the first of February and the first of January 2026, or an error.
# Happens: HAPI's getValueAsDate puts 0 for the parts that are missing into a lenient calendar: day 0 of February is 31 January,
#   day 0 of month 0 is 30 November of the year before. No error, no warning; getMonth and getDay say 0. Both Python libraries say the first.
# Hurts: a retention or review period that counts from such a time (a date of death, a discharge, an onset known by its year) begins in
#   another month or in the year before, so that records are deleted up to 32 days early; two services that read one message disagree.
# Instead: look at the length of the text first (4, 6, 8 or more digits); let a period begin at the END of what is named, as only that is
#   sure to lie behind; refuse a time that is too coarse for the rule.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hl7==0.4.5 hl7apy==1.3.5
cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>ca.uhn.hapi</groupId><artifactId>hapi-structures-v25</artifactId><version>2.6.0</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
ls jars | grep '^hapi-'
cat > Read.java <<'JAVA'
import ca.uhn.hl7v2.model.v25.datatype.TS;
import ca.uhn.hl7v2.model.v25.message.ADT_A01;

public class Read {
    public static void main(String[] texts) throws Exception {
        for (String text : texts) {
            TS time = new TS(new ADT_A01());
            time.getTime().setValue(text);
            System.out.println("HAPI   " + text + " -> " + time.getTime().getValueAsDate().toInstant().toString().substring(0, 10));
        }
    }
}
JAVA
cat > read.py <<'PY'
import sys
import hl7
from hl7apy.utils import get_datetime_info
for text in sys.argv[1:]:
    print("hl7   ", text, "->", f"{hl7.parse_datetime(text):%Y-%m-%d}")
    print("hl7apy", text, "->", f"{get_datetime_info(text)[0]:%Y-%m-%d}")
PY
seen=$(java -cp 'jars/*' Read.java 2026 202602 20260228 2>java.log; venv/bin/python read.py 2026 202602 20260228)
echo "$seen"
[ "$seen" = "HAPI   2026 -> 2025-11-30
HAPI   202602 -> 2026-01-31
HAPI   20260228 -> 2026-02-28
hl7    2026 -> 2026-01-01
hl7apy 2026 -> 2026-01-01
hl7    202602 -> 2026-02-01
hl7apy 202602 -> 2026-02-01
hl7    20260228 -> 2026-02-28
hl7apy 20260228 -> 2026-02-28" ] || changed "other dates than described"
echo "as described"

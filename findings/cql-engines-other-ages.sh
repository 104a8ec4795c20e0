#!/usr/bin/env bash
# Tools: the CQL engine for Java (info.cqframework 3.29.0, the last of version 3) and cql-execution 3.3.2 (Node.js): rules in HL7's Clinical Quality Language, as they
#   decide who may consent and how long a record is kept; translated once, the same translation (ELM) given to both.
# Expected: one rule has one value, or an error in both.
# Happens: who was born on 29 February is 17 on 28 February 18 years later in Java, and 18 in Node.js. A year and a half added is one year in Java, and a year,
#   182 days and twelve hours in Node.js. "1 year = 12 months" is unknown in Java, so that a rule with it neither holds nor fails, and true in Node.js.
#   Periods in UCUM units, as FHIR has them: 1 'a' is as long as a year in Java and not in Node.js; one can be added to a date in Node.js, while Java stops.
# Hurts: a young person's own consent counts in one system a day before it does in the other; a record with a term of 1.5 years goes half a year early by
#   one engine; a rule that was tested in the authors' JavaScript is "unknown" in the server, and unknown is taken as no.
# Instead: write terms in whole months or days, with calendar words and not UCUM units; compare ages by the date of the birthday, written out; run one table of cases,
#   with 29 February in it, through each engine that decides, and treat null as an error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

npm init --yes >/dev/null
npm install --silent --no-audit --no-fund cql-execution@3.3.2
{
    echo '<project><modelVersion>4.0.0</modelVersion><groupId>example</groupId><artifactId>example</artifactId><version>1</version><dependencies>'
    for artifact in cql-to-elm elm-jackson model-jackson engine; do
        echo "<dependency><groupId>info.cqframework</groupId><artifactId>$artifact</artifactId><version>3.29.0</version></dependency>"
    done
    echo '<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>2.0.16</version></dependency></dependencies></project>'
} >pom.xml
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > rules.cql <<'CQL'
library Rules version '1'
define AgeOnThe28th: CalculateAgeInYearsAt(@2008-02-29, @2026-02-28)
define AgeOnThe1st: CalculateAgeInYearsAt(@2008-02-29, @2026-03-01)
define YearAndAHalf: @2026-01-01T00:00:00.0+00:00 + 1.5 years
define EighteenMonths: @2026-01-01T00:00:00.0+00:00 + 18 months
define YearIsTwelveMonths: 1 year = 12 months
define UcumYearIsAYear: 1 'a' ~ 1 year
define UcumMonthAdded: @2026-01-31 + 1 'mo'
define MonthAdded: @2026-01-31 + 1 month
CQL
cat > Rules.java <<'JAVA'
import java.nio.file.*;
import java.time.*;
import java.util.*;
import org.cqframework.cql.cql2elm.*;
import org.hl7.elm.r1.VersionedIdentifier;
import org.opencds.cqf.cql.engine.execution.*;

public class Rules {
    public static void main(String[] none) throws Exception {
        var libraries = new LibraryManager(new ModelManager());
        var translated = CqlTranslator.fromText(Files.readString(Path.of("rules.cql")), libraries);
        if (!translated.getErrors().isEmpty()) throw new Exception(translated.getErrors().toString());
        Files.writeString(Path.of("rules.json"), translated.toJson());
        libraries.getLibrarySourceLoader().registerProvider(id -> {
            try { return Files.newInputStream(Path.of("rules.cql")); } catch (java.io.IOException error) { throw new RuntimeException(error); }
        });
        var engine = new CqlEngine(new Environment(libraries));
        for (String line : Files.readAllLines(Path.of("rules.cql"))) {
            if (!line.startsWith("define ")) continue;
            String name = line.substring(7, line.indexOf(':')), value;
            try {
                value = String.valueOf(engine.evaluate(new VersionedIdentifier().withId("Rules").withVersion("1"), Set.of(name), null, null, null,
                    ZonedDateTime.of(2026, 11, 29, 12, 0, 0, 0, ZoneOffset.UTC)).forExpression(name).value());
            } catch (Exception error) {
                value = "refused: " + error.getMessage();
            }
            System.out.println(name + ": Java " + value);
        }
    }
}
JAVA
cat > rules.cjs <<'JS'
const { readFileSync } = require('node:fs');
const cql = require('cql-execution');
const library = new cql.Library(JSON.parse(readFileSync('rules.json', 'utf8')));
(async () => {
  for (const name of readFileSync('rules.cql', 'utf8').match(/(?<=^define )\w+/gm)) {
    const context = new cql.PatientContext(library, null, new cql.CodeService({}), {}, cql.DateTime.fromJSDate(new Date('2026-11-29T12:00:00Z'), 0));
    console.log(`Node.js ${await library.expressions[name].exec(context)}`);
  }
})();
JS
java -cp 'jars/*' Rules.java >java.out 2>java.log || { cat java.log >&2; exit 1; }
node rules.cjs >node.out
echo "info.cqframework 3.29.0, cql-execution 3.3.2"
seen=$(paste -d , java.out node.out | sed 's/,Node/, Node/')
echo "$seen"
[ "$seen" = "AgeOnThe28th: Java 17, Node.js 18
AgeOnThe1st: Java 18, Node.js 18
YearAndAHalf: Java 2027-01-01T00:00:00.000+00:00, Node.js 2027-07-02T12:00:00.000+00:00
EighteenMonths: Java 2027-07-01T00:00:00.000+00:00, Node.js 2027-07-01T00:00:00.000+00:00
YearIsTwelveMonths: Java null, Node.js true
UcumYearIsAYear: Java true, Node.js false
UcumMonthAdded: Java refused: Invalid precision: mo, Node.js 2026-02-28
MonthAdded: Java 2026-02-28, Node.js 2026-02-28" ] || changed "the engines decide otherwise"
echo "as described"

#!/usr/bin/env bash
# Tool: ez-vcard 0.12.2 (Java), which reads and writes address cards (vCard) and turns the versions into each other; a card of version 3.0, as
#   telephones and mail programs export it.
# Expected: the card of a person that is marked CLASS:CONFIDENTIAL is written as version 4.0, jCard or xCard with the mark, in some form, or
#   an error tells that this cannot be.
# Happens: the newer standard (RFC 6350) has no such mark any more, and the writer leaves out what a version does not know: the
#   mark is gone, and the postal label with it, without a warning. jCard and xCard, for programs, are version 4.0 always; the older
#   2.1 loses the categories as well. Only versionStrict(false) writes the mark; validate() names it, which nobody has to call.
# Hurts: an address book moved to a newer server, or synchronized through one, shows the cards of patients in shelters, of judges or of staff
#   with private numbers like all others; what filtered by CLASS (a shared directory, a caller's display) lets them through.
# Instead: write with versionStrict(false), or carry the mark as a category or an X- property, which stay; call validate() for the version that is
#   written and stop on [Classification]; count marked cards before and after.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>finding</groupId><artifactId>cards</artifactId><version>1</version>
  <dependencies><dependency><groupId>com.googlecode.ez-vcard</groupId><artifactId>ez-vcard</artifactId><version>0.12.2</version></dependency></dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
ls jars | grep '^ez-vcard'
cat > Cards.java <<'JAVA'
import ezvcard.*;

public class Cards {
    static String lost(String text) {
        return (text.contains("CONFIDENTIAL") ? "mark kept" : "mark lost") + (text.contains("Hidden Lane") ? ", label kept" : ", label lost")
            + (text.contains("shelter") ? ", category kept" : ", category lost");
    }

    public static void main(String[] arguments) {
        VCard card = Ezvcard.parse("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Erika Muster\r\nN:Muster;Erika;;;\r\nCLASS:CONFIDENTIAL\r\nCATEGORIES:shelter\r\n"
            + "LABEL;TYPE=home:1 Hidden Lane\r\nTEL:+49 30 123456\r\nEND:VCARD\r\n").first();
        for (VCardVersion version : VCardVersion.values())
            System.out.println("vCard " + version.getVersion() + ": " + lost(Ezvcard.write(card).version(version).go()));
        System.out.println("jCard: " + lost(Ezvcard.writeJson(card).go()));
        System.out.println("xCard: " + lost(Ezvcard.writeXml(card).go()));
        System.out.println("vCard 4.0, versionStrict(false): " + lost(Ezvcard.write(card).version(VCardVersion.V4_0).versionStrict(false).go()));
        System.out.println("validate: " + card.validate(VCardVersion.V4_0).toString().contains("[Classification]"));
    }
}
JAVA
seen=$(java -cp 'jars/*' Cards.java 2>java.log) || { cat java.log >&2; exit 1; }
echo "$seen"
[ "$seen" = "vCard 2.1: mark lost, label kept, category lost
vCard 3.0: mark kept, label kept, category kept
vCard 4.0: mark lost, label lost, category kept
jCard: mark lost, label lost, category kept
xCard: mark lost, label lost, category kept
vCard 4.0, versionStrict(false): mark kept, label kept, category kept
validate: true" ] || changed "other things are lost"
echo "as described"

#!/usr/bin/env bash
# Tool: hl7v2-fhir-converter 1.0.18 (LinuxForHealth, Java), HL7 v2.6 messages turned into FHIR R4 resources, with its own default settings.
# Expected: what HL7 v2 says on confidentiality comes out as a security label or a consent; two quotation marks, which in HL7 v2 order a field to be
#   emptied, come out as nothing; a time without zone is taken in the zone of the process, or is refused.
# Happens: none of the three. The patient's protection indicator (PD1-12 "Y") and the order's confidentiality code (ORC-28 "V", very restricted) are
#   in no resource; the visit's VIP indicator (PV1-16) is. An emptied phone number and street become a phone number and a street
#   that consist of two quotation marks, an emptied marital status a sentence about invalid input. Each time gets the offset +08:00,
#   whatever the zone of the process: it stands in the settings inside the jar. No error.
# Hurts: a result that only few may see is an ordinary one behind the gateway; the number that the caller had taken out stays, if the receiver
#   drops what is no number, and is dialled or matched as `""` if not; a discharge at 10 in the morning in Europe lies seven or
#   eight hours early, one in the small hours on the day before, and every period that counts from it.
# Instead: read PD1-12 and ORC-28 from the message and put meta.security on the resources yourself; take fields that are `""` out and pass
#   the deletion on as such; call withZoneIdText (tried here); hold a converted message of each kind against the source.
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
    <dependency><groupId>io.github.linuxforhealth</groupId><artifactId>hl7v2-fhir-converter</artifactId><version>1.0.18</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
ls jars | grep '^hl7v2-fhir'
cat > Convert.java <<'JAVA'
import io.github.linuxforhealth.hl7.ConverterOptions;
import io.github.linuxforhealth.hl7.HL7ToFHIRConverter;
import java.util.regex.Pattern;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.Encounter;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.Resource;
import ca.uhn.fhir.context.FhirContext;

public class Convert {
    static final ConverterOptions.Builder PLAIN = new ConverterOptions.Builder().withBundleType(Bundle.BundleType.COLLECTION);

    static Bundle convert(ConverterOptions.Builder options, String... segments) {
        String text = new HL7ToFHIRConverter().convert(String.join("\r", segments) + "\r", options.build());
        return FhirContext.forR4Cached().newJsonParser().parseResource(Bundle.class, text);
    }

    static <T extends Resource> T first(Bundle bundle, Class<T> kind) {
        return bundle.getEntry().stream().map(Bundle.BundleEntryComponent::getResource).filter(kind::isInstance).map(kind::cast).findFirst().orElseThrow();
    }

    /** Labels, consents and words of confidentiality anywhere in the resources. */
    static String restrictions(Bundle bundle) {
        long labels = bundle.getEntry().stream().map(Bundle.BundleEntryComponent::getResource).filter(it -> it.getMeta().hasSecurity()
            || it.getResourceType().name().equals("Consent")).count();
        String all = FhirContext.forR4Cached().newJsonParser().encodeResourceToString(bundle);
        return "labels or consents " + labels + ", words " + Pattern.compile("restrict|confidential|protect", Pattern.CASE_INSENSITIVE).matcher(all).results().count();
    }

    public static void main(String[] arguments) {
        String[] patient = {
            "MSH|^~\\&|PAS|H|CC|H|20261129101500||ADT^A08^ADT_A01|1|P|2.6", "EVN|A08|20261129101500",
            "PID|1||4711^^^H^MR||Muster^Erika||19700314|F|||\"\"||\"\"^PRN^PH|||\"\"",
            "PD1||||||||||||Y|20261129", "PV1|1|I|W1^2^3|||||||||||||V|||V1|||||||||||||||||||||||||20261128021500|20261129101500"};
        Bundle update = convert(PLAIN, patient);
        System.out.println("update: " + restrictions(update) + ", VIP " + first(update, Encounter.class).getHospitalization().getSpecialCourtesyFirstRep().getCodingFirstRep().getCode());
        Patient person = first(update, Patient.class);
        System.out.println("phone: " + person.getTelecomFirstRep().getValue() + ", street: " + person.getAddressFirstRep().getLine().get(0)
            + ", marital status: " + person.getMaritalStatus().getCodingFirstRep().getDisplay().replaceAll(":.*", ""));
        System.out.println("admitted at 02:15 in " + java.time.ZoneId.systemDefault() + ": " + first(update, Encounter.class).getPeriod().getStartElement().getValueAsString()
            + ", with withZoneIdText: " + first(convert(new ConverterOptions.Builder().withBundleType(Bundle.BundleType.COLLECTION).withZoneIdText("Europe/Berlin"), patient),
                Encounter.class).getPeriod().getStartElement().getValueAsString());
        Bundle result = convert(PLAIN, "MSH|^~\\&|LAB|H|CC|H|20261129101500||ORU^R01^ORU_R01|2|P|2.6", "PID|1||4711^^^H^MR||Muster^Erika||19700314|F", "PV1|1|O",
            "ORC|RE|1|1|||||||||||||||||||||||||V^very restricted^HL70177", "OBR|1|1|1|9^HIV test^L|||20261128101500||||||||||||||||||F",
            "OBX|1|ST|9^HIV test^L||positive||||||F|||20261128101500");
        System.out.println("result " + first(result, Observation.class).getValueStringType() + ": " + restrictions(result));
    }
}
JAVA
seen=$(java -Duser.timezone=Europe/Berlin -cp 'jars/*' Convert.java 2>java.log) || { cat java.log >&2; exit 1; }
echo "$seen"
[ "$seen" = 'update: labels or consents 0, words 0, VIP V
phone: "", street: "", marital status: Invalid input
admitted at 02:15 in Europe/Berlin: 2026-11-28T02:15:00+08:00, with withZoneIdText: 2026-11-28T02:15:00+01:00
result positive: labels or consents 0, words 0' ] || changed "other things are lost"
echo "as described"

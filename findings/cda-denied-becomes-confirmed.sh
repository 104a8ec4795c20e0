#!/usr/bin/env bash
# Tools: @medplum/ccda 5.1.10 and @amida-tech/blue-button 1.10.11 (Node.js), ccda-to-fhir 0.3 (Python): summaries of care (HL7 CDA, C-CDA templates) read as FHIR
#   resources or as JSON, here one in which a diagnosis, an allergy, a procedure and a vaccination are each denied (`negationInd="true"`, the
#   status "completed" meaning that the denial is).
# Expected: what the document says did not happen is not said to have happened; a section marked as restricted comes out restricted.
# Happens: for @medplum/ccda the person has the HIV infection (active, confirmed) and the allergy, had the counselling and the vaccination (both completed).
#   blue-button keeps the denial of the diagnosis and the allergy, and calls the refused counselling "Completed". ccda-to-fhir says
#   refuted and not-done. The mark on the section (confidentialityCode R) is lost in all three. No error.
# Hurts: the agent who opens the call reads a diagnosis that was ruled out, and tells it on, and the counselling that the person refused is in
#   their file as done; what was restricted in the document is shown to everybody who may see the rest.
# Instead: count `negationInd="true"` in the document and refuse a conversion in which fewer denials come out; carry the marks of the sections
#   over by hand, to meta.security of each resource that comes out of the section; take the document's own text as what counts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ccda-to-fhir==0.3
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @medplum/ccda@5.1.10 @amida-tech/blue-button@1.10.11
cat > write.py <<'PY'
snomed, loinc = "2.16.840.1.113883.6.96", "2.16.840.1.113883.6.1"
template = lambda *ends: "".join(f'<templateId root="2.16.840.1.113883.10.20.22.{end}"/>' for end in ends)
code = lambda tag, value, system, name="": f'<{tag} code="{value}" codeSystem="{system}" displayName="{name}"/>'
address = ("<addr><streetAddressLine>1 Main Street</streetAddressLine><city>Springfield</city><state>MA</state><postalCode>01101</postalCode><country>US</country></addr>"
    '<telecom value="tel:+14135550100"/>')
person = "<name><given>{}</given><family>{}</family></name>"
since = '<effectiveTime><low value="20260101"/></effectiveTime>'
done = '<statusCode code="completed"/>'

def section(end, what, title, entry, mark=""):
    return f'<component><section>{template(end)}{code("code", what, loinc)}<title>{title}</title><text>{title}: see the entry</text>{mark}<entry typeCode="DRIV">{entry}</entry></section></component>'

def concern(number, end, inner):
    return (f'<act classCode="ACT" moodCode="EVN">{template(end)}<id root="1.2.3.{number}"/>{code("code", "CONC", "2.16.840.1.113883.5.6")}<statusCode code="active"/>{since}'
        f'<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN" negationInd="true">{inner}</observation></entryRelationship></act>')

problem = concern(10, "4.3", template("4.4") + '<id root="1.2.3.11"/>' + code("code", "64572001", snomed, "Condition") + done + since
    + code('value xsi:type="CD"', "86406008", snomed, "HIV infection"))
allergy = concern(20, "4.30", template("4.7") + '<id root="1.2.3.21"/>' + code("code", "ASSERTION", "2.16.840.1.113883.5.4") + done + since
    + code('value xsi:type="CD"', "416098002", snomed, "Allergy to drug") + '<participant typeCode="CSM"><participantRole classCode="MANU"><playingEntity classCode="MMAT">'
    + code("code", "70618", "2.16.840.1.113883.6.88", "Penicillin") + "</playingEntity></participantRole></participant>")
procedure = ('<procedure classCode="PROC" moodCode="EVN" negationInd="true">' + template("4.14") + '<id root="1.2.3.30"/>'
    + code("code", "24165007", snomed, "Alcoholism counselling") + done + '<effectiveTime value="20260301"/></procedure>')
vaccine = ('<substanceAdministration classCode="SBADM" moodCode="EVN" negationInd="true">' + template("4.52") + '<id root="1.2.3.40"/>' + done + '<effectiveTime value="20260301"/>'
    '<consumable><manufacturedProduct classCode="MANU">' + template("4.54") + "<manufacturedMaterial>" + code("code", "88", "2.16.840.1.113883.12.292", "Influenza vaccine")
    + "</manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration>")
open("summary.xml", "w").write('<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><realmCode code="US"/>'
    '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>' + template("1.1", "1.2") + '<id root="1.2.3" extension="1"/>' + code("code", "34133-9", loinc)
    + '<title>Summary</title><effectiveTime value="20261129101500+0100"/><confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/><languageCode code="en-US"/>'
    f'<recordTarget><patientRole><id root="1.2.3.4" extension="4711"/>{address}<patient>{person.format("Erika", "Muster")}'
    '<administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="19700314"/></patient></patientRole></recordTarget>'
    f'<author><time value="20261129"/><assignedAuthor><id root="2.16.840.1.113883.4.6" extension="1234567893"/>{address}<assignedPerson>{person.format("Dora", "Doctor")}</assignedPerson></assignedAuthor></author>'
    f'<custodian><assignedCustodian><representedCustodianOrganization><id root="1.2.3.5"/><name>A clinic</name>{address.replace("</addr>", "</addr>")}</representedCustodianOrganization></assignedCustodian></custodian>'
    "<component><structuredBody>" + section("2.5.1", "11450-4", "Problems", problem, '<confidentialityCode code="R" codeSystem="2.16.840.1.113883.5.25"/>')
    + section("2.6.1", "48765-2", "Allergies", allergy) + section("2.7.1", "47519-4", "Procedures", procedure) + section("2.2.1", "11369-6", "Immunizations", vaccine)
    + "</structuredBody></component></ClinicalDocument>")
PY
cat > resources.py <<'PY'
import json, sys
name, resources = sys.argv[1], [entry["resource"] for entry in json.load(open(sys.argv[2]))["entry"]]
code = lambda it, key: it.get(key, {}).get("coding", [{}])[0].get("code")
for it in sorted(resources, key=lambda it: it["resourceType"]):
    if it["resourceType"] in ("Condition", "AllergyIntolerance"):
        denied = ", no-known-reaction-risk" if "no-known-reaction-risk" in json.dumps(it) else ""
        print(f"{name}: {it['resourceType']} {code(it, 'clinicalStatus')}, {code(it, 'verificationStatus')}{denied}")
    if it["resourceType"] in ("Procedure", "Immunization"):
        print(f"{name}: {it['resourceType']} {it['status']}")
print(f"{name}: marks of restriction", json.dumps(resources).count('"R"'))
PY
cat > read.mjs <<'JS'
globalThis.WebSocket ??= class {}; // asked for when @medplum/ccda is loaded; Node.js 20 has none
const { convertCcdaToFhir, convertXmlToCcda } = (await import('@medplum/ccda'));
import { readFileSync, writeFileSync } from 'node:fs';
import blueButton from '@amida-tech/blue-button';
const xml = readFileSync('summary.xml', 'utf8');
writeFileSync('medplum.json', JSON.stringify(convertCcdaToFhir(convertXmlToCcda(xml))));
const { data } = blueButton.parseString(xml);
const denied = (it) => it ? ' (denied)' : '';
console.log(`blue-button: ${data.problems[0].problem.code.name}${denied(data.problems[0].negation_indicator)}`);
console.log(`blue-button: ${data.allergies[0].observation.allergen.name}${denied(data.allergies[0].observation.negation_indicator)}`);
console.log(`blue-button: ${data.procedures[0].procedure.name} ${data.procedures[0].status}${denied(JSON.stringify(data.procedures).includes('negation'))}`);
console.log(`blue-button: ${data.immunizations[0].product.product.name} ${data.immunizations[0].status}`);
console.log(`blue-button: marks of restriction ${JSON.stringify(data).match(/"R"|"Restricted"/g)?.length ?? 0}`);
JS
venv/bin/python write.py
echo "@medplum/ccda 5.1.10, @amida-tech/blue-button 1.10.11, ccda-to-fhir 0.3"
venv/bin/python -c 'import json, ccda_to_fhir; json.dump(ccda_to_fhir.convert_document(open("summary.xml").read())["bundle"], open("python.json", "w"))' >python.log 2>&1 || { cat python.log >&2; exit 1; }
seen=$(node read.mjs; python3 resources.py medplum medplum.json; python3 resources.py ccda-to-fhir python.json)
echo "$seen"
[ "$seen" = "blue-button: HIV infection (denied)
blue-button: Penicillin (denied)
blue-button: Alcoholism counselling Completed
blue-button: Influenza vaccine refused
blue-button: marks of restriction 0
medplum: AllergyIntolerance active, confirmed
medplum: Condition active, confirmed
medplum: Immunization completed
medplum: Procedure completed
medplum: marks of restriction 0
ccda-to-fhir: AllergyIntolerance active, confirmed, no-known-reaction-risk
ccda-to-fhir: Condition active, refuted
ccda-to-fhir: Immunization not-done
ccda-to-fhir: Procedure not-done
ccda-to-fhir: marks of restriction 0" ] || changed "other things are denied"
echo "as described"

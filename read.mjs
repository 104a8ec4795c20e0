globalThis.WebSocket ??= class {}; // asked for when @medplum/ccda is loaded; Node.js 20 has none
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
const require = createRequire(import.meta.url);
const { convertCcdaToFhir, convertXmlToCcda } = require('@medplum/ccda');
const xml = readFileSync('summary.xml', 'utf8');
writeFileSync('medplum.json', JSON.stringify(convertCcdaToFhir(convertXmlToCcda(xml))));
const { data } = require('@amida-tech/blue-button').parseString(xml);
const denied = (it) => it ? ' (denied)' : '';
console.log(`blue-button: ${data.problems[0].problem.code.name}${denied(data.problems[0].negation_indicator)}`);
console.log(`blue-button: ${data.allergies[0].observation.allergen.name}${denied(data.allergies[0].observation.negation_indicator)}`);
console.log(`blue-button: ${data.procedures[0].procedure.name} ${data.procedures[0].status}${denied(JSON.stringify(data.procedures).includes('negation'))}`);
console.log(`blue-button: ${data.immunizations[0].product.product.name} ${data.immunizations[0].status}`);
console.log(`blue-button: marks of restriction ${JSON.stringify(data).match(/"R"|"Restricted"/g)?.length ?? 0}`);

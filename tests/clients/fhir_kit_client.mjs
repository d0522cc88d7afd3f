// What fhir-kit-client does with a server; prints one JSON line. Usage: node fhir_kit_client.mjs BASE_URL
import process from 'node:process';
import { Client } from 'fhir-kit-client';

const fhir = new Client({ baseUrl: process.argv[2] });
const system = 'http://example.org/fhir-kit-client';
const said = {};

const made = await fhir.create({ resourceType: 'Patient', body: { resourceType: 'Patient', active: true, gender: 'female' } });
const id = made.id;
said.created = made.meta.versionId;
said.read = (await fhir.read({ resourceType: 'Patient', id })).gender;
said.updated = (await fhir.update({ resourceType: 'Patient', id, body: { ...made, gender: 'other' } })).meta.versionId;
said.vread = (await fhir.vread({ resourceType: 'Patient', id, version: '1' })).gender;
const jsonPatch = [{ op: 'replace', path: '/active', value: false }];
said.patched = (await fhir.patch({ resourceType: 'Patient', id, jsonPatch })).active;
said.history = (await fhir.history({ resourceType: 'Patient', id })).entry.length;
const identified = { resourceType: 'Patient', identifier: [{ system, value: 'once' }] };
const options = { headers: { 'If-None-Exist': `identifier=${system}|once` } };
const first = await fhir.create({ resourceType: 'Patient', body: identified, options });
const again = await fhir.create({ resourceType: 'Patient', body: identified, options });
said.once = first.id === again.id;
const found = await fhir.search({ resourceType: 'Patient', searchParams: { identifier: `${system}|once` } });
said.found = found.entry.map((entry) => entry.resource.id === first.id);
const entry = [{ resource: { resourceType: 'Patient' }, request: { method: 'POST', url: 'Patient' } }];
said.batch = (await fhir.batch({ body: { resourceType: 'Bundle', type: 'batch', entry } })).entry[0].response.status;
said.transaction = (await fhir.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry } })).type;
said.capabilities = (await fhir.capabilityStatement()).resourceType;
await fhir.delete({ resourceType: 'Patient', id });
try {
  await fhir.read({ resourceType: 'Patient', id });
} catch (error) {
  said.gone = error.response.status;
}
console.log(JSON.stringify(said));

// How users of fhir-kit-client search; prints one JSON line. Usage: node fhir_kit_search.mjs BASE_URL, of the clinic
import process from 'node:process';
import { Client } from 'fhir-kit-client';

const fhir = new Client({ baseUrl: process.argv[2] });
const ids = (bundle) => (bundle.entry ?? []).map((entry) => entry.resource.id);
const post = { postSearch: true };
const patient = { resourceType: 'Patient', id: 'p01' };
const rates = { code: 'http://loinc.org|8867-4' };
const said = {};

let page = await fhir.search({ resourceType: 'Patient', searchParams: { _count: 5, _sort: '-birthdate', _total: 'accurate' } });
said.total = page.total;
said.pages = [ids(page)];
for (let next = fhir.nextPage({ bundle: page }); next; next = fhir.nextPage({ bundle: page })) {
  page = await next;
  said.pages.push(ids(page));
}
said.previous = ids(await fhir.prevPage({ bundle: page }));

const born = { birthdate: ['ge1952', 'lt1960'], _sort: 'birthdate', _count: 5 };
page = await fhir.search({ resourceType: 'Patient', searchParams: born, options: post });
said.posted = [ids(page), ids(await fhir.nextPage({ bundle: page }))];

const chained = { 'subject:Patient.name': "O'Brien", ...rates, _sort: 'date' };
said.chained = ids(await fhir.resourceSearch({ resourceType: 'Observation', searchParams: chained }));
const having = { '_has:Observation:patient:value-quantity': 'gt70||/min' };
said.having = ids(await fhir.resourceSearch({ resourceType: 'Patient', searchParams: having }));
const along = { _id: 'o01-8867-4', _include: ['Observation:subject', 'Observation:performer'] };
const included = await fhir.search({ resourceType: 'Observation', searchParams: along });
said.included = Object.fromEntries(included.entry.map((entry) => [entry.resource.id, entry.search.mode]));

said.compartment = [];
for (const options of [{}, post]) {
  const found = await fhir.compartmentSearch({ resourceType: 'Observation', compartment: patient, searchParams: rates, options });
  said.compartment.push(ids(found));
}
said.system = [];
for (const options of [{}, post]) {
  said.system.push(ids(await fhir.systemSearch({ searchParams: { _id: 'p01', _type: 'Patient' }, options })));
}
said.everything = [];
for (const method of ['GET', 'POST']) {
  said.everything.push(ids(await fhir.operation({ name: 'everything', ...patient, method })).length);
}
try {
  await fhir.search({ resourceType: 'Patient', searchParams: { birthday: '1950' } });
} catch (error) {
  said.refused = [error.response.status, error.response.data.issue[0].diagnostics.includes('birthdate')];
}
console.log(JSON.stringify(said));

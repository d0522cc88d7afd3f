import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.model.api.Include;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.SearchStyleEnum;
import ca.uhn.fhir.rest.api.SearchTotalModeEnum;
import ca.uhn.fhir.rest.api.SummaryEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.gclient.ICriterion;
import ca.uhn.fhir.rest.gclient.IQuery;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.Parameters;
import org.hl7.fhir.r4.model.Patient;

/** How users of HAPI's client search, with its default settings; prints a line per search. Argument: the base URL. */
public class HapiClient {
    public static void main(String[] args) {
        FhirContext context = FhirContext.forR4();
        IGenericClient client = context.newRestfulGenericClient(args[0]);  // reads /metadata first, and checks it

        Bundle page = patients(client).sort().descending(Patient.BIRTHDATE).count(5)
                .totalMode(SearchTotalModeEnum.ACCURATE).execute();
        say("total", page.getTotal());
        say("page", ids(page));
        while (page.getLink(Bundle.LINK_NEXT) != null) {
            page = client.loadPage().next(page).execute();
            say("page", ids(page));
        }
        say("previous", ids(client.loadPage().previous(page).execute()));

        IQuery<Bundle> posted = patients(client).where(Patient.FAMILY.matches().value("müller"));
        say("posted", ids(posted.sort().ascending(Patient.BIRTHDATE).usingStyle(SearchStyleEnum.POST).execute()));
        say("identifier", found(client, Patient.IDENTIFIER.exactly().systemAndIdentifier("http://example.org/mrn", "3")));
        say("escaped", found(client, Patient.FAMILY.matchesExactly().values("Smith, Jr.", "Ng")));
        say("missing", patients(client).where(Patient.ADDRESS.isMissing(true)).summaryMode(SummaryEnum.COUNT).execute().getTotal());
        IQuery<Bundle> born = patients(client).where(Patient.BIRTHDATE.afterOrEquals().day("1958-01-01"))
                .and(Patient.BIRTHDATE.before().day("1960-01-01"));
        say("born", ids(born.sort().ascending(Patient.BIRTHDATE).execute()));
        say("elements", ids(patients(client).where(Patient.RES_ID.exactly().codes("p01", "p02"))
                .elementsSubset("name").sort().ascending(Patient.BIRTHDATE).execute()));

        ICriterion<?> heavy = Observation.VALUE_QUANTITY.greaterThan().number(60).andUnits("http://unitsofmeasure.org", "kg");
        say("heavy", ids(observations(client).where(heavy).execute()));
        ICriterion<?> named = Observation.SUBJECT.hasChainedProperty("Patient", Patient.NAME.matches().value("O'Brien"));
        ICriterion<?> rate = Observation.CODE.exactly().systemAndCode("http://loinc.org", "8867-4");
        say("chained", ids(observations(client).where(named).and(rate).sort().ascending(Observation.DATE).execute()));
        say("having", ids(client.search().<Bundle>byUrl("Patient?_has:Observation:patient:value-quantity=gt70||/min")
                .returnBundle(Bundle.class).execute()));

        Bundle along = observations(client).where(Observation.RES_ID.exactly().code("o01-8867-4"))
                .include(Observation.INCLUDE_SUBJECT).include(Patient.INCLUDE_GENERAL_PRACTITIONER.asRecursive())
                .execute();
        say("included", along.getEntry().stream()
                .map(entry -> entry.getResource().getIdElement().getIdPart() + " " + entry.getSearch().getMode().toCode())
                .collect(Collectors.joining(", ")));
        say("referring", patients(client).where(Patient.RES_ID.exactly().code("p01"))
                .revInclude(new Include("Condition:subject")).execute().getEntry().size());

        var everything = client.operation().onInstance("Patient/p01").named("$everything")
                .withNoParameters(Parameters.class).returnResourceType(Bundle.class);
        say("everything", everything.execute().getEntry().size() + " " + everything.useHttpGet().execute().getEntry().size());

        IGenericClient xml = context.newRestfulGenericClient(args[0]);
        xml.setEncoding(EncodingEnum.XML);
        say("xml", found(xml, Patient.FAMILY.matchesExactly().value("Ng")));

        ICriterion<?> once = Patient.IDENTIFIER.exactly().systemAndIdentifier("http://example.org/hapi", "once");
        Patient made = new Patient();
        made.addIdentifier().setSystem("http://example.org/hapi").setValue("once");
        List<String> created = Stream.of(1, 2)
                .map(n -> client.create().resource(made.copy()).conditional().where(once).execute().getId().getIdPart())
                .collect(Collectors.toList());
        say("once", created.get(0).equals(created.get(1)));
        client.delete().resourceConditionalByType("Patient").where(once).execute();
        say("left", patients(client).where(once).summaryMode(SummaryEnum.COUNT).execute().getTotal());
    }

    private static IQuery<Bundle> patients(IGenericClient client) {
        return client.search().forResource(Patient.class).returnBundle(Bundle.class);
    }

    private static IQuery<Bundle> observations(IGenericClient client) {
        return client.search().forResource(Observation.class).returnBundle(Bundle.class);
    }

    private static String found(IGenericClient client, ICriterion<?> criterion) {
        return ids(patients(client).where(criterion).sort().ascending(Patient.BIRTHDATE).execute());
    }

    private static String ids(Bundle bundle) {
        return bundle.getEntry().stream().map(entry -> entry.getResource().getIdElement().getIdPart())
                .collect(Collectors.joining(" "));
    }

    private static void say(String name, Object value) {
        System.out.println("SAID " + name + ": " + value);
    }
}

#!/usr/bin/env bash
# Tool: HAPI FHIR 8.8.0, a server of one's own (RestfulServer with a resource provider, as a gateway in front of a store is built), with HAPI's
#   interceptors for consent (ConsentInterceptor) and for audit events after IHE BALP (BalpAuditCaptureInterceptor).
# Expected: every resource goes past the consent service's canSeeResource, which may reject it, and every read, search and deletion is an audit event;
#   or the interceptor says at start that it cannot work here.
# Happens: canSeeResource is never called, as only HAPI's own store (JPA) fires what it hangs on; of the consent service only startOperation and
#   willSeeResource are asked. The audit interceptor hangs on nothing else: six requests, no event. Both register without a word. That
#   startOperation and willSeeResource work makes the consent service look as if it was connected.
# Hurts: a gateway whose rules stand in canSeeResource, as in the examples, shows every patient's observations whatever was consented, and its audit
#   trail is empty; tests against the JPA server pass.
# Instead: reject in willSeeResource (tried here) or fire the two pointcuts from the providers; write audit events from SERVER_OUTGOING_RESPONSE; test for one
#   rejected resource and one event of each kind against the server that is deployed, and alarm on hours without an event.
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
    <dependency><groupId>ca.uhn.hapi.fhir</groupId><artifactId>hapi-fhir-server</artifactId><version>8.8.0</version></dependency>
    <dependency><groupId>ca.uhn.hapi.fhir</groupId><artifactId>hapi-fhir-structures-r4</artifactId><version>8.8.0</version></dependency>
    <dependency><groupId>ca.uhn.hapi.fhir</groupId><artifactId>hapi-fhir-caching-caffeine</artifactId><version>8.8.0</version></dependency>
    <dependency><groupId>ca.uhn.hapi.fhir</groupId><artifactId>hapi-fhir-storage</artifactId><version>8.8.0</version></dependency>
    <dependency><groupId>org.eclipse.jetty.ee10</groupId><artifactId>jetty-ee10-servlet</artifactId><version>12.0.16</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>2.0.16</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
ls jars | grep -E '^hapi-fhir-(server|storage)'
cat > Gateway.java <<'JAVA'
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.annotation.*;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.*;
import ca.uhn.fhir.rest.server.interceptor.consent.*;
import ca.uhn.fhir.storage.interceptor.balp.*;
import java.net.URI;
import java.net.http.*;
import java.util.*;
import org.eclipse.jetty.ee10.servlet.*;
import org.eclipse.jetty.server.*;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.*;

public class Gateway {
    static final List<String> ASKED = new ArrayList<>();
    static int events = 0;

    public static class Observations implements IResourceProvider {
        public Class<Observation> getResourceType() { return Observation.class; }
        static Observation one(String id) {
            var it = new Observation().setStatus(Observation.ObservationStatus.FINAL).setSubject(new Reference("Patient/1")).setValue(new StringType("positive"));
            it.setId("Observation/" + id);
            return it;
        }
        @Read public Observation read(@IdParam IdType id) { return one(id.getIdPart()); }
        @Search public List<Observation> search() { return List.of(one("1"), one("2")); }
        @Delete public MethodOutcome delete(@IdParam IdType id) { return new MethodOutcome(); }
    }

    record Consent(String rejects) implements IConsentService {
        ConsentOutcome answer(String by, IBaseResource it) {
            ASKED.add(by);
            return by.equals(rejects) && it instanceof Observation ? ConsentOutcome.REJECT : ConsentOutcome.PROCEED;
        }
        public ConsentOutcome startOperation(RequestDetails request, IConsentContextServices services) { return answer("startOperation", null); }
        public boolean shouldProcessCanSeeResource(RequestDetails request, IConsentContextServices services) { return true; }
        public ConsentOutcome canSeeResource(RequestDetails request, IBaseResource it, IConsentContextServices services) { return answer("canSeeResource", it); }
        public ConsentOutcome willSeeResource(RequestDetails request, IBaseResource it, IConsentContextServices services) { return answer("willSeeResource", it); }
    }

    static class People implements IBalpAuditContextServices {
        public Reference getAgentClientWho(RequestDetails request) { return new Reference("Device/1"); }
        public Reference getAgentUserWho(RequestDetails request) { return new Reference("Practitioner/1"); }
    }

    public static void main(String[] rejects) throws Exception {
        var gateway = new RestfulServer(FhirContext.forR4());
        gateway.setResourceProviders(new Observations());
        gateway.registerInterceptor(new ConsentInterceptor(new Consent(rejects[0])));
        gateway.registerInterceptor(new BalpAuditCaptureInterceptor(event -> events++, new People()));
        var server = new Server();
        var connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        server.addConnector(connector);
        var handler = new ServletContextHandler();
        handler.addServlet(new ServletHolder(gateway), "/*");
        server.setHandler(handler);
        server.start();
        for (String request : new String[] {"GET Observation/1", "GET Observation", "DELETE Observation/1"}) {
            ASKED.clear();
            String[] parts = request.split(" ");
            var answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + connector.getLocalPort() + "/" + parts[1]))
                .method(parts[0], HttpRequest.BodyPublishers.noBody()).build(), HttpResponse.BodyHandlers.ofString());
            System.out.println(rejects[0] + " rejects, " + request + ": results shown " + (answer.body().split("positive", -1).length - 1)
                + ", asked " + String.join(" ", new TreeSet<>(ASKED)) + ", audit events " + events);
        }
        System.exit(0);
    }
}
JAVA
seen=$(for rejects in canSeeResource willSeeResource; do java -cp 'jars/*' Gateway.java "$rejects" 2>java.log || { cat java.log >&2; exit 1; }; done)
echo "$seen"
[ "$seen" = "canSeeResource rejects, GET Observation/1: results shown 1, asked startOperation willSeeResource, audit events 0
canSeeResource rejects, GET Observation: results shown 2, asked startOperation willSeeResource, audit events 0
canSeeResource rejects, DELETE Observation/1: results shown 0, asked startOperation, audit events 0
willSeeResource rejects, GET Observation/1: results shown 0, asked startOperation willSeeResource, audit events 0
willSeeResource rejects, GET Observation: results shown 0, asked startOperation willSeeResource, audit events 0
willSeeResource rejects, DELETE Observation/1: results shown 0, asked startOperation, audit events 0" ] || changed "other hooks are called"
echo "as described"

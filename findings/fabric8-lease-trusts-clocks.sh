#!/usr/bin/env bash
# Tools: fabric8 kubernetes-client 8.0.0 (Java), its LeaderElector, beside client-go 0.34.1 (Go); API server: fabric8's own mock, storing.
# Expected: a Lease that its holder renews every second is not taken over, whatever the clocks say: a candidate measures by its own clock
#   how long the Lease has not CHANGED, as client-go does and says.
# Happens: fabric8 compares the renewTime that the holder wrote with its own clock. If the holder's clock is 60 seconds behind (or the
#   candidate's ahead), the candidate takes the Lease at its first look, while the holder is alive and renewing. client-go does not.
# Hurts: two leaders work at once until the first one notices at its next renewal: both rotate the key, both write the record, both delete
#   what is due; and with each look the Lease can go to and fro.
# Instead: watch the clocks of the nodes (a step of the clock is enough), make the lease longer than any skew, and let each action that
#   must happen once be decided by a compare-and-set in the store, not by being the leader.
set -euo pipefail
work=$(mktemp -d)
holder=""
trap '[ -z "$holder" ] || kill "$holder" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>io.fabric8</groupId><artifactId>kubernetes-client</artifactId><version>8.0.0</version></dependency>
    <dependency><groupId>io.fabric8</groupId><artifactId>kubernetes-server-mock</artifactId><version>8.0.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>2.0.17</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > Elect.java <<'JAVA'
import io.fabric8.kubernetes.api.model.coordination.v1.LeaseBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.extended.leaderelection.LeaderCallbacks;
import io.fabric8.kubernetes.client.extended.leaderelection.LeaderElectionConfigBuilder;
import io.fabric8.kubernetes.client.extended.leaderelection.LeaderElector;
import io.fabric8.kubernetes.client.extended.leaderelection.resourcelock.LeaseLock;
import io.fabric8.kubernetes.client.server.mock.KubernetesCrudDispatcher;
import io.fabric8.kubernetes.client.server.mock.KubernetesMockServer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.HashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** Holds a Lease by a clock that is some seconds behind, and lets fabric8 try to take it ("try") or waits for others ("wait"). */
public class Elect {
    public static void main(String[] words) throws Exception {
        long behind = Long.parseLong(words[1]);
        var server = new KubernetesMockServer(new io.fabric8.mockwebserver.Context(), new io.fabric8.mockwebserver.MockWebServer(),
            new HashMap<>(), new KubernetesCrudDispatcher(), false);
        server.init();
        KubernetesClient client = server.createClient();
        var leases = client.leases().inNamespace("calls");
        leases.resource(new LeaseBuilder().withNewMetadata().withName("leader").withNamespace("calls").endMetadata()
            .withNewSpec().withHolderIdentity("holder").withLeaseDurationSeconds(6).withLeaseTransitions(0)
            .withAcquireTime(now(behind)).withRenewTime(now(behind)).endSpec().build()).create();
        var pool = Executors.newScheduledThreadPool(4);
        pool.scheduleAtFixedRate(() -> leases.withName("leader").edit(lease ->
            !lease.getSpec().getHolderIdentity().equals("holder") ? lease
                : new LeaseBuilder(lease).editSpec().withRenewTime(now(behind)).endSpec().build()), 0, 1, TimeUnit.SECONDS);
        Thread.sleep(1500);
        if (words[0].equals("wait")) {
            Files.writeString(Path.of("address"), client.getConfiguration().getMasterUrl());
            Thread.sleep(120000);
        }
        new LeaderElector(client, new LeaderElectionConfigBuilder().withName("leader").withLock(new LeaseLock("calls", "leader", "candidate"))
            .withLeaseDuration(Duration.ofSeconds(6)).withRenewDeadline(Duration.ofSeconds(4)).withRetryPeriod(Duration.ofSeconds(1))
            .withLeaderCallbacks(new LeaderCallbacks(() -> {}, () -> {}, leader -> {})).build(), pool).start();
        Thread.sleep(10000);
        System.out.println("fabric8, holder's clock " + behind + " s behind, after 10 s: the leader is "
            + leases.withName("leader").get().getSpec().getHolderIdentity());
        System.exit(0);
    }

    static ZonedDateTime now(long behind) {
        return ZonedDateTime.now(ZoneOffset.UTC).minusSeconds(behind);
    }
}
JAVA
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

func main() {
	client, err := kubernetes.NewForConfig(&rest.Config{Host: os.Args[1], ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	lock := &resourcelock.LeaseLock{LeaseMeta: meta.ObjectMeta{Namespace: "calls", Name: "leader"}, Client: client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: "candidate"}}
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{Lock: lock, LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second,
		RetryPeriod: time.Second, Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {}}})
	lease, err := client.CoordinationV1().Leases("calls").Get(context.Background(), "leader", meta.GetOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Printf("client-go, holder's clock %s s behind, after 10 s: the leader is %s\n", os.Args[2], *lease.Spec.HolderIdentity)
}
GO
(cd go && go mod init elect && go get k8s.io/client-go@v0.34.1 && go mod tidy && go build -o ../elect .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
java -cp 'jars/*' Elect.java wait 60 >java.log 2>&1 &
holder=$!
for _ in $(seq 100); do [ -s address ] && break; sleep 0.2; done
seen=$(
    java -cp 'jars/*' Elect.java try 0 2>>java.log
    java -cp 'jars/*' Elect.java try 60 2>>java.log
    ./elect "$(cat address)" 60 2>elect.log
)
echo "fabric8 kubernetes-client 8.0.0, client-go 0.34.1"
echo "$seen"
[ "$seen" = "fabric8, holder's clock 0 s behind, after 10 s: the leader is holder
fabric8, holder's clock 60 s behind, after 10 s: the leader is candidate
client-go, holder's clock 60 s behind, after 10 s: the leader is holder" ] || changed "another one leads"
echo "as described"

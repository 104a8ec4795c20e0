#!/usr/bin/env bash
# Tool: ActiveMQ Classic 6.1.7 (Java, the broker in the program, with its defaults and its store of files): a message with a time to live of three seconds, as a code or the
#   text of a voicemail is sent so that it does not lie about, which nobody reads.
# Expected: after its end the message can be read nowhere; in the files it is gone soon after, at the latest when the broker was stopped and started again.
# Happens: it is moved to the queue ActiveMQ.DLQ, its end is taken off, and it stays there for ever, so that whoever reads that queue has the texts of all queues. When it was
#   read there, and when the broker was started again, the text is in the file db-1.log still, which is deleted as a whole, when 32 MB are full and
#   nothing in it is awaited. So is the text of a message that was read in time.
# Hurts: one queue that nobody made and nobody looks at collects what was to be short-lived; rights by queue do not hold for it; it grows until the store is full.
# Instead: set a deadLetterStrategy with processExpired="false", or an `expiration` on it, for each policyEntry; encrypt what is secret in the body with a key that can be
#   destroyed; count ActiveMQ.DLQ among the queues with personal data, and treat the volume as a store of all that passed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

pom() {
    mkdir "$1"
    name=$1
    shift
    {
        echo '<project><modelVersion>4.0.0</modelVersion><groupId>example</groupId><artifactId>example</artifactId><version>1</version><dependencies>'
        for one in "$@" org.slf4j:slf4j-nop:2.0.17; do
            IFS=: read -r group artifact version <<<"$one"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$name/pom.xml"
    (cd "$name" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1) || { cat "$name/mvn.log" >&2; exit 1; }
}
pom classic org.apache.activemq:activemq-broker:6.1.7 org.apache.activemq:activemq-kahadb-store:6.1.7
ls classic/jars | grep '^activemq-broker-'
cat > Watch.java <<'JAVA'
import jakarta.jms.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;

public class Watch {
    static boolean inFiles(String words) throws Exception {
        try (var paths = Files.walk(Path.of("data"))) {
            for (Path path : paths.filter(Files::isRegularFile).toList()) {
                String text = new String(Files.readAllBytes(path), StandardCharsets.ISO_8859_1);
                if (text.contains(words) || text.replace("\0", "").contains(words)) return true;
            }
        }
        return false;
    }

    static String browse(Session session, String queue) throws Exception {
        var found = new ArrayList<String>();
        var messages = session.createBrowser(session.createQueue(queue)).getEnumeration();
        while (messages.hasMoreElements()) {
            Message message = (Message) messages.nextElement();
            found.add(((TextMessage) message).getText() + " (end: " + (message.getJMSExpiration() == 0 ? "none" : "set") + ")");
        }
        return found.toString();
    }

    static void watch(String name, ConnectionFactory factory, boolean first) throws Exception {
        try (Connection connection = factory.createConnection()) {
            connection.start();
            Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
            if (first) {
                jakarta.jms.Queue read = session.createQueue("read");
                session.createProducer(read).send(session.createTextMessage("Beispiel, code 4712"));
                session.createConsumer(read).receive(10_000);
                MessageProducer producer = session.createProducer(session.createQueue("voicemail"));
                producer.setTimeToLive(3000);
                producer.send(session.createTextMessage("Musterfrau, code 4711"));
                Thread.sleep(90_000);
                System.out.println(name + ", a minute and a half later, voicemail: " + browse(session, "voicemail"));
                System.out.println(name + ", a minute and a half later, ActiveMQ.DLQ: " + browse(session, "ActiveMQ.DLQ"));
                session.createConsumer(session.createQueue("ActiveMQ.DLQ")).receive(10_000);
                System.out.println(name + ", read there, ActiveMQ.DLQ: " + browse(session, "ActiveMQ.DLQ"));
            }
        }
        if (!first) Thread.sleep(40_000);
        System.out.println(name + (first ? "" : ", started again") + ", files: " + (inFiles("Musterfrau, code 4711") ? "has the ended text" : "clean")
            + ", " + (inFiles("Beispiel, code 4712") ? "has the text read in time" : "clean"));
    }
}
JAVA
cat > classic/Classic.java <<'JAVA'
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.broker.BrokerService;

public class Classic {
    public static void main(String[] arguments) throws Exception {
        for (boolean first : new boolean[] {true, false}) {
            BrokerService broker = new BrokerService();
            broker.setDataDirectory("data");
            broker.setUseJmx(false);
            broker.start();
            broker.waitUntilStarted();
            Watch.watch("Classic", new ActiveMQConnectionFactory("vm://localhost?create=false"), first);
            broker.stop();
            broker.waitUntilStopped();
        }
        System.exit(0);
    }
}
JAVA
run() {
    (
        cd "$1"
        javac -cp 'jars/*' -d classes ../Watch.java "$2.java" >javac.log 2>&1 || { cat javac.log >&2; exit 1; }
        java -cp 'classes:jars/*' "$2" 2>java.log || { tail -n 5 java.log >&2; exit 1; }
    )
}
seen=$(run classic Classic)
echo "$seen"
[ "$seen" = 'Classic, a minute and a half later, voicemail: []
Classic, a minute and a half later, ActiveMQ.DLQ: [Musterfrau, code 4711 (end: none)]
Classic, read there, ActiveMQ.DLQ: []
Classic, files: has the ended text, has the text read in time
Classic, started again, files: has the ended text, has the text read in time' ] || changed "other messages stay"
echo "as described"

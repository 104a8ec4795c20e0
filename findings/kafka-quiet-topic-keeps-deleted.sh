#!/usr/bin/env bash
# Tool: Kafka 4.1.0 (Java, its broker and controller in one process), a topic of consents by caller that is compacted, and one of calls that is kept for ever.
# Expected: after a caller's key was deleted (a record without value), what was written under it is gone from the files at the latest after
#   `max.compaction.lag.ms`, "the maximum time a message will remain ineligible for compaction in the log". What was deleted by DeleteRecords
#   (kafka-delete-records) is gone soon after.
# Happens: nothing goes from the file that is being written, and it is ended only when the next record arrives: `segment.ms` and `max.compaction.lag.ms` (here
#   2 and 5 seconds) are looked at then. In a topic where nobody writes after the erasure the deleted words stay in the file, a reader from the beginning
#   gets them, and nothing ends it. DeleteRecords hides its records from readers at once, and their words stay in the file in the same way. With the
#   next records both go. Retention by age (`retention.ms`) does end such a file.
# Hurts: erasure is often the last that is written about somebody, and topics of small clinics are quiet at night or for good after a migration: volume,
#   snapshot and backup hold the words for as long as that lasts, under settings that name a maximum.
# Instead: after an erasure write a record with a key of its own to each partition, once after `segment.ms`, and look for it afterwards; keep personal data in topics with
#   `retention.ms` (`cleanup.policy=compact,delete`), or encrypted with a key that can be destroyed.
set -euo pipefail
work=$(mktemp -d)
broker=""
trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.1.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>2.0.17</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
ls jars | grep '^kafka_'
read -r port control < <(python3 -c 'import socket
free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in free))')
cat > server.properties <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$control
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$control
controller.listener.names=CONTROLLER
log.dirs=$work/data
offsets.topic.replication.factor=1
log.retention.check.interval.ms=2000
log.cleaner.backoff.ms=1000
log.segment.delete.delay.ms=1000
CONF
java -cp 'jars/*' kafka.tools.StorageTool format -t 4L6g3nShT-eMCtK--X86sw -c server.properties >format.log 2>&1 || { cat format.log >&2; exit 1; }
java -Xmx400m -cp 'jars/*' kafka.Kafka server.properties >kafka.log 2>&1 &
broker=$!
cat > Erase.java <<'JAVA'
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class Erase {
    static final String WORDS = "Erika Musterfrau, sarcoidosis";
    static Map<String, Object> server;

    static boolean inFiles(String topic) throws Exception {
        try (var files = Files.list(Path.of("data", topic + "-0"))) {
            for (Path file : files.filter(path -> path.toString().contains(".log")).toList()) {
                try {
                    if (new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1).contains(WORDS)) return true;
                } catch (NoSuchFileException gone) {
                }
            }
        }
        return false;
    }

    static boolean isRead(String topic) {
        try (var reader = new KafkaConsumer<>(server, new StringDeserializer(), new StringDeserializer())) {
            var partition = List.of(new TopicPartition(topic, 0));
            reader.assign(partition);
            reader.seekToBeginning(partition);
            long end = reader.endOffsets(partition).get(partition.get(0));
            while (reader.position(partition.get(0)) < end)
                for (var record : reader.poll(Duration.ofSeconds(1))) if (WORDS.equals(record.value())) return true;
            return false;
        }
    }

    static void tell(String name, String topic) throws Exception {
        System.out.println(name + ": " + (isRead(topic) ? "read" : "not read") + ", " + (inFiles(topic) ? "in the file" : "in no file"));
    }

    public static void main(String[] arguments) throws Exception {
        server = Map.of("bootstrap.servers", "127.0.0.1:" + arguments[0], "default.api.timeout.ms", "300000", "max.block.ms", "300000");
        try (Admin admin = Admin.create(server); var producer = new KafkaProducer<>(server, new StringSerializer(), new StringSerializer())) {
            var compact = Map.of("cleanup.policy", "compact", "segment.ms", "2000", "max.compaction.lag.ms", "5000", "min.cleanable.dirty.ratio", "0", "delete.retention.ms", "1000");
            admin.createTopics(List.of(
                new NewTopic("consents", 1, (short) 1).configs(compact),
                new NewTopic("calls", 1, (short) 1).configs(Map.of("retention.ms", "-1", "segment.ms", "2000")),
                new NewTopic("aged", 1, (short) 1).configs(Map.of("retention.ms", "5000", "segment.ms", "2000")))).all().get();
            for (String topic : List.of("consents", "calls", "aged")) producer.send(new ProducerRecord<>(topic, "erika", WORDS)).get();
            producer.send(new ProducerRecord<>("consents", "erika", null)).get();
            admin.deleteRecords(Map.of(new TopicPartition("calls", 0), RecordsToDelete.beforeOffset(1))).all().get();
            Thread.sleep(60_000);
            tell("compacted, a minute after the deletion", "consents");
            tell("DeleteRecords, a minute later", "calls");
            tell("retention.ms of five seconds, a minute later", "aged");
            for (int count = 0; count < 2; count++) {
                for (String topic : List.of("consents", "calls")) producer.send(new ProducerRecord<>(topic, "tidy", "nothing")).get();
                Thread.sleep(5_000);
            }
            for (int count = 0; count < 120 && (inFiles("consents") || inFiles("calls")); count++) Thread.sleep(1_000);
            tell("compacted, after further records", "consents");
            tell("DeleteRecords, after further records", "calls");
        }
    }
}
JAVA
seen=$(java -cp 'jars/*' Erase.java "$port" 2>erase.log) || { tail -5 erase.log >&2; exit 1; }
echo "$seen"
[ "$seen" = 'compacted, a minute after the deletion: read, in the file
DeleteRecords, a minute later: not read, in the file
retention.ms of five seconds, a minute later: not read, in no file
compacted, after further records: not read, in no file
DeleteRecords, after further records: not read, in no file' ] || changed "other records stay"
echo "as described"

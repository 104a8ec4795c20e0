#!/usr/bin/env bash
# Tools: Derby 10.16.1.1, H2 2.3.232, HSQLDB 2.7.4 (Java), the embedded databases with which integration engines and FHIR servers are installed
#   at first; a table of 2,000 calls with an index of names, of which one row is deleted.
# Expected: after deletion and a checkpoint, the table compressed and the database shut down in order, its files and a backup hold no deleted row.
# Happens: after deletion and checkpoint all three have the row in their data file, H2 after closing too. `SHUTDOWN COMPACT` (H2) and `CHECKPOINT
#   DEFRAG` (HSQLDB) remove it. Derby's in-place compression does nothing; SYSCS_COMPRESS_TABLE writes the table anew, and the row stays in the
#   transaction log, over checkpoint, shutdown and start, and is in each backup made by SYSCS_BACKUP_DATABASE. It goes when the log has
#   grown by its next megabyte, and a checkpoint comes.
# Hurts: an interface engine with little traffic keeps messages that its pruner deleted, for months, on its volume and in its backups; whoever
#   compressed the tables for the erasure has reason to think them gone.
# Instead: compact as said; in Derby compress, then write a megabyte to some other table and make a checkpoint; search the files' bytes
#   after an erasure; run such software on a database server.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>erase</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.derby</groupId><artifactId>derby</artifactId><version>10.16.1.1</version></dependency>
    <dependency><groupId>org.apache.derby</groupId><artifactId>derbytools</artifactId><version>10.16.1.1</version></dependency>
    <dependency><groupId>com.h2database</groupId><artifactId>h2</artifactId><version>2.3.232</version></dependency>
    <dependency><groupId>org.hsqldb</groupId><artifactId>hsqldb</artifactId><version>2.7.4</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > Erase.java <<'JAVA'
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.sql.*;
import java.util.TreeSet;

public class Erase {
    static Connection open;

    static void tell(String folder, String when) throws Exception {
        var found = new TreeSet<String>();
        try (var files = Files.walk(Path.of(folder))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                String data = new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1);
                if (data.contains("Zyxwvut")) found.add(file.getParent().getFileName() + "/" + file.getFileName().toString().replaceAll("^c[0-9a-f]+", "table"));
            }
        }
        System.out.println(folder + ", " + when + ": " + (found.isEmpty() ? "nothing" : String.join(" ", found)));
    }

    static void run(String... statements) throws SQLException {
        for (String one : statements) {
            try (Statement statement = open.createStatement()) {
                statement.execute(one);
            }
        }
    }

    static void fill(String url, String table) throws SQLException {
        open = DriverManager.getConnection(url);
        run("create " + table + " calls (id int primary key, name varchar(60))", "create index names on calls (name)");
        try (PreparedStatement insert = open.prepareStatement("insert into calls values (?, ?)")) {
            for (int n = 0; n < 2000; n++) {
                insert.setInt(1, n);
                insert.setString(2, n == 7 ? "Zyxwvut" : "name " + n);
                insert.execute();
            }
        }
    }

    static void stopDerby() {
        try {
            DriverManager.getConnection("jdbc:derby:Derby;shutdown=true");
        } catch (SQLException stopped) {
            // says so by an exception
        }
    }

    public static void main(String[] none) throws Exception {
        String checkpoint = "call syscs_util.syscs_checkpoint_database()";
        fill("jdbc:derby:Derby;create=true", "table");
        run(checkpoint, "delete from calls where id = 7", checkpoint);
        tell("Derby", "deleted, checkpoint");
        run("call syscs_util.syscs_inplace_compress_table('APP', 'CALLS', 1, 1, 1)", checkpoint);
        tell("Derby", "compressed in place");
        run("call syscs_util.syscs_compress_table('APP', 'CALLS', 1)", checkpoint);
        tell("Derby", "compressed");
        stopDerby();
        open = DriverManager.getConnection("jdbc:derby:Derby");
        run("call syscs_util.syscs_backup_database('backup')");
        tell("backup", "after shutdown and start");
        run("create table other (text varchar(1000))");
        try (PreparedStatement insert = open.prepareStatement("insert into other values (?)")) {
            for (int n = 0; n < 3000; n++) {
                insert.setString(1, "x".repeat(1000));
                insert.execute();
            }
        }
        run(checkpoint, checkpoint);
        tell("Derby", "three megabytes later");
        stopDerby();

        fill("jdbc:h2:./H2/data", "table");
        run("checkpoint sync", "delete from calls where id = 7", "checkpoint sync");
        tell("H2", "deleted, checkpoint");
        open.close();
        tell("H2", "closed");
        open = DriverManager.getConnection("jdbc:h2:./H2/data");
        run("shutdown compact");
        tell("H2", "shutdown compact");

        fill("jdbc:hsqldb:file:HSQLDB/data", "cached table");
        run("checkpoint", "delete from calls where id = 7", "checkpoint");
        tell("HSQLDB", "deleted, checkpoint");
        run("checkpoint defrag");
        tell("HSQLDB", "checkpoint defrag");
        run("shutdown");
    }
}
JAVA
java -version 2>&1 | head -n 1
seen=$(java -cp 'lib/*' Erase.java 2>java.log) || { cat java.log >&2; exit 1; }
echo "$seen"
[ "$seen" = "Derby, deleted, checkpoint: log/log1.dat seg0/table.dat
Derby, compressed in place: log/log1.dat seg0/table.dat
Derby, compressed: log/log1.dat
backup, after shutdown and start: log/log1.dat
Derby, three megabytes later: nothing
H2, deleted, checkpoint: H2/data.mv.db
H2, closed: H2/data.mv.db
H2, shutdown compact: nothing
HSQLDB, deleted, checkpoint: HSQLDB/data.data
HSQLDB, checkpoint defrag: nothing" ] || changed "other files hold the row"
echo "as described"

#!/usr/bin/env bash
# Tools: logback 1.6.6 (Java), RollingFileAppender with maxHistory and cleanHistoryOnStart; logrotate 3.21.0 (Debian 12: 3.21.0-1, unpacked, not
#   installed).
# Expected: when the number of old logs to keep is lowered, all that are too many by the new number are deleted at the next roll-over or start.
# Happens: neither looks into the folder; both work out names. logback works out those that have become too old since it last looked, and after a
#   start it assumes that this was 32 days ago (hourly files: 14 days): with maxHistory 7 the daily files of the days 8 to 39 are
#   deleted, older ones stay, at each later start too; totalSizeCap does not reach them. logrotate, lowered from 100 to 3, deletes
#   number 4 each time and never 5 to 100. Neither does it find what had another form of name: the numbered logs after dateext was
#   turned on, the plain ones after compress was. maxage cuts only when the log is rotated: those of a service that fell silent
#   (notifempty), or was removed (missingok), stay.
# Hurts: where the retention of logs is lowered because they name callers, the oldest logs are the ones that stay, for ever, and the newest look as
#   asked for. The same after a service was off for more than a month.
# Instead: after each such change delete by the age of the files once (find -mtime), and watch the age of the oldest file, not the number of
#   files; let maxage not be the only limit for a log that may fall silent.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export TZ=UTC
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>ch.qos.logback</groupId><artifactId>logback-classic</artifactId><version>1.6.6</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
ls jars | grep '^logback-core'
cat > Clean.java <<'JAVA'
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.encoder.PatternLayoutEncoder;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.rolling.RollingFileAppender;
import ch.qos.logback.core.rolling.SizeAndTimeBasedRollingPolicy;
import ch.qos.logback.core.rolling.TimeBasedRollingPolicy;
import ch.qos.logback.core.util.FileSize;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;

public class Clean {
    /** Starts a logger on the folder, logs a line, and stops it again. */
    static void start(Path folder, TimeBasedRollingPolicy<ILoggingEvent> policy, String names, String cap) throws Exception {
        LoggerContext context = new LoggerContext();
        PatternLayoutEncoder encoder = new PatternLayoutEncoder();
        encoder.setContext(context);
        encoder.setPattern("%m%n");
        encoder.start();
        RollingFileAppender<ILoggingEvent> appender = new RollingFileAppender<>();
        appender.setContext(context);
        appender.setEncoder(encoder);
        policy.setContext(context);
        policy.setParent(appender);
        policy.setFileNamePattern(folder + "/" + names);
        policy.setMaxHistory(7);
        policy.setTotalSizeCap(FileSize.valueOf(cap));
        policy.setCleanHistoryOnStart(true);
        policy.start();
        appender.setRollingPolicy(policy);
        appender.start();
        context.getLogger("calls").addAppender(appender);
        context.getLogger("calls").info("a call");
        Thread.sleep(1500); // it deletes in a thread of its own
        context.stop();
    }

    /** The ages of the files that are left, as ranges. */
    static String left(Path folder, List<Path> files) {
        StringBuilder ranges = new StringBuilder();
        for (int age = 1; age <= files.size(); age++) {
            if (!Files.exists(files.get(age - 1))) continue;
            int from = age;
            while (age < files.size() && Files.exists(files.get(age))) age++;
            ranges.append(ranges.length() == 0 ? "" : ", ").append(from == age ? "" + from : from + " to " + age);
        }
        return ranges.toString();
    }

    static void run(String label, String pattern, int minutes, boolean bySize) throws Exception {
        Path folder = Files.createDirectory(Path.of(label.replace(' ', '-')));
        LocalDateTime now = LocalDateTime.now();
        List<Path> files = new ArrayList<>();
        for (int age = 1; age <= 400; age++) {
            LocalDateTime then = now.minusMinutes((long) age * minutes);
            Path file = folder.resolve("app." + DateTimeFormatter.ofPattern(pattern).format(then) + (bySize ? ".0" : "") + ".log");
            Files.writeString(file, "a line".repeat(100));
            Files.setLastModifiedTime(file, FileTime.from(then.toInstant(ZoneOffset.UTC)));
            files.add(file);
        }
        for (int starts = 1; starts <= 2; starts++) {
            TimeBasedRollingPolicy<ILoggingEvent> policy;
            if (bySize) {
                SizeAndTimeBasedRollingPolicy<ILoggingEvent> sized = new SizeAndTimeBasedRollingPolicy<>();
                sized.setMaxFileSize(FileSize.valueOf("1MB"));
                policy = sized;
            } else {
                policy = new TimeBasedRollingPolicy<>();
            }
            start(folder, policy, "app.%d{" + pattern + "}" + (bySize ? ".%i" : "") + ".log", bySize ? "2KB" : "1GB");
            System.out.println("logback, " + label + ", start " + starts + ": left of 1 to 400: " + left(folder, files));
        }
    }

    public static void main(String[] arguments) throws Exception {
        run("daily", "yyyy-MM-dd", 1440, false);
        run("hourly", "yyyy-MM-dd-HH", 60, false);
        run("daily with totalSizeCap 2 KB", "yyyy-MM-dd", 1440, true);
    }
}
JAVA

mkdir -p debs/partial root logs
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    logrotate=3.21.0-1 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
libraries="$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu"
umask 077
# rotate LABEL TIMES OPTIONS: ten old logs, 5, 15, … 95 days old; then the log is rotated so many times, with a line in it each time unless the
# label says otherwise.
rotate() {
    rm -rf logs state
    mkdir logs
    for n in $(seq 10); do
        echo "a line" >"logs/app.log.$n"
        touch -d "$((n * 10 - 5)) days ago" "logs/app.log.$n"
    done
    printf '%s/logs/app.log {\n%b\n}\n' "$work" "$3" >conf
    for _ in $(seq "$2"); do
        case $1 in *removed*) ;; *silent*) : >logs/app.log ;; *) echo "a line" >logs/app.log ;; esac
        printf 'logrotate state -- version 2\n"%s/logs/app.log" 2026-1-1-0:0:0\n' "$work" >state
        LD_LIBRARY_PATH="$libraries" root/usr/sbin/logrotate -s state conf
        rm -f logs/app.log-*
    done
    echo "logrotate, $1: left of ten $(find logs -name 'app.log.*' -mtime +3 | wc -l), older than 90 days $(find logs -name 'app.log.*' -mtime +90 | wc -l)"
}
seen=$(java -cp 'jars/*' Clean.java 2>java.log) || { cat java.log >&2; exit 1; }
seen+=$'\n'$(LD_LIBRARY_PATH="$libraries" root/usr/sbin/logrotate --version 2>&1 | head -1)
seen+=$'\n'$(rotate "maxage 30, busy" 2 'daily\nrotate 100\nmaxage 30')
seen+=$'\n'$(rotate "maxage 30, silent" 2 'daily\nrotate 100\nmaxage 30\nnotifempty')
seen+=$'\n'$(rotate "maxage 30, removed" 2 'daily\nrotate 100\nmaxage 30\nmissingok')
seen+=$'\n'$(rotate "lowered to rotate 3" 5 'daily\nrotate 3')
seen+=$'\n'$(rotate "rotate 3 maxage 30, dateext turned on" 5 'daily\nrotate 3\nmaxage 30\ndateext')
seen+=$'\n'$(rotate "rotate 3 maxage 30, compress turned on" 5 'daily\nrotate 3\nmaxage 30\ncompress')
seen+=$'\n'$(rotate "lowered to rotate 3, with maxage 30" 2 'daily\nrotate 3\nmaxage 30')
echo "$seen"
[ "$seen" = "logback, daily, start 1: left of 1 to 400: 1 to 7, 40 to 400
logback, daily, start 2: left of 1 to 400: 1 to 7, 40 to 400
logback, hourly, start 1: left of 1 to 400: 1 to 7, 344 to 400
logback, hourly, start 2: left of 1 to 400: 1 to 7, 344 to 400
logback, daily with totalSizeCap 2 KB, start 1: left of 1 to 400: 1 to 3, 7, 40 to 400
logback, daily with totalSizeCap 2 KB, start 2: left of 1 to 400: 1 to 3, 7, 40 to 400
logrotate 3.21.0
logrotate, maxage 30, busy: left of ten 3, older than 90 days 0
logrotate, maxage 30, silent: left of ten 10, older than 90 days 1
logrotate, maxage 30, removed: left of ten 10, older than 90 days 1
logrotate, lowered to rotate 3: left of ten 6, older than 90 days 1
logrotate, rotate 3 maxage 30, dateext turned on: left of ten 10, older than 90 days 1
logrotate, rotate 3 maxage 30, compress turned on: left of ten 9, older than 90 days 1
logrotate, lowered to rotate 3, with maxage 30: left of ten 7, older than 90 days 1" ] || changed "other logs are left"
echo "as described"

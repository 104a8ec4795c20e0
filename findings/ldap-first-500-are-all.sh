#!/usr/bin/env bash
# Tools: OpenLDAP's slapd 2.5.13 (Debian 12) with its own limit of 500 entries an answer and 700 agents in it; ldap3 2.9.1 (Python), Spring LDAP 4.1.2,
#   ldaptive 2.3.2, Apache Directory API 2.1.7, JNDI, UnboundID 7.0.3 (Java), go-ldap 3.4.15, ldapts 8.2.0 (Node.js).
# Expected: a search whose answer was cut by the server's limit raises an error, and asking in pages of 100 gets all.
# Happens: the server says with the last of 500 entries that there are more. ldap3 returns True and 500 entries, with `raise_exceptions=True` too;
#   Spring's LdapTemplate and LdapClient return a list of 500; ldaptive, the Directory API and JNDI's hasMoreElements do too, and one would have to ask for
#   the result code. go-ldap, ldapts, UnboundID and JNDI's hasMore raise. Pages do not help, as the limit is for all of them together: ldap3's
#   paged_search ends after 500 without a word.
# Hurts: a job that lets in who is in the directory, and deactivates who is not, locks out 200 agents on the day the center has its 501st, or
#   never takes out the leavers it did not see; a list of who may hear recordings, made for an audit, lacks 200 people and does not say so.
# Instead: compare the result code with 0 after each search, also after the last page; set `ignoreSizeLimitExceededException` of LdapTemplate to
#   false; give the reader's account a limit of its own in slapd (`limits … size=unlimited`); refuse a sync in which many people vanish at once.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

chmod 755 .
apt-get download -q slapd libldap-2.5-0 libargon2-1 libltdl7 libodbc2 libperl5.36 libsasl2-2 libwrap0 >apt.log 2>&1 || { cat apt.log >&2; exit 1; }
for file in *.deb; do dpkg-deb -x "$file" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ldap3==2.9.1
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund ldapts@8.2.0
cat >pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.springframework.ldap</groupId><artifactId>spring-ldap-core</artifactId><version>4.1.2</version></dependency>
    <dependency><groupId>com.unboundid</groupId><artifactId>unboundid-ldapsdk</artifactId><version>7.0.3</version></dependency>
    <dependency><groupId>org.ldaptive</groupId><artifactId>ldaptive</artifactId><version>2.3.2</version></dependency>
    <dependency><groupId>org.apache.directory.api</groupId><artifactId>api-all</artifactId><version>2.1.7</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>2.0.16</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
mkdir go db
cat >go/main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/go-ldap/ldap/v3"
)

func main() {
	connection, err := ldap.DialURL(os.Args[1])
	if err != nil {
		panic(err)
	}
	ask := ldap.NewSearchRequest("dc=example", ldap.ScopeWholeSubtree, 0, 0, 0, false, "(objectClass=person)", nil, nil)
	found, err := connection.Search(ask)
	fmt.Println("go-ldap:", len(found.Entries), "and an error:", err != nil)
}
GO
(cd go && go mod init ask && go get github.com/go-ldap/ldap/v3@v3.4.15 && go mod tidy && go build -o ../ask .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
cat >ask.py <<'PY'
import sys, ldap3
for strict in (False, True):
    connection = ldap3.Connection(ldap3.Server(sys.argv[1]), auto_bind=True, raise_exceptions=strict)
    answer = connection.search("dc=example", "(objectClass=person)", attributes=["cn"])
    print(f"ldap3, raise_exceptions={strict}: {len(connection.entries)}, returned {answer}")
pages = connection.extend.standard.paged_search("dc=example", "(objectClass=person)", paged_size=100, generator=False)
print(f"ldap3 in pages of 100: {len(pages)}")
PY
cat >ask.mjs <<'JS'
import { Client } from 'ldapts';
const client = new Client({ url: process.argv[2] });
console.log('ldapts:', await client.search('dc=example', { filter: '(objectClass=person)' }).then((found) => found.searchEntries.length, (error) => error.name));
await client.unbind();
JS
cat >Ask.java <<'JAVA'
import java.util.*;
import javax.naming.directory.*;
import org.apache.directory.ldap.client.api.LdapNetworkConnection;
import org.springframework.ldap.core.*;

public class Ask {
    interface Search { Object run() throws Exception; }
    static void show(String name, Search search) {
        try { System.out.println(name + ": " + search.run()); } catch (Exception error) { System.out.println(name + ": " + error.getClass().getSimpleName()); }
    }
    static javax.naming.NamingEnumeration<SearchResult> jndi(String url) throws Exception {
        var controls = new SearchControls();
        controls.setSearchScope(SearchControls.SUBTREE_SCOPE);
        return new InitialDirContext(new Hashtable<>(Map.of("java.naming.factory.initial", "com.sun.jndi.ldap.LdapCtxFactory", "java.naming.provider.url", url)))
            .search("dc=example", "(objectClass=person)", controls);
    }
    public static void main(String[] urls) throws Exception {
        String url = urls[0], filter = "(objectClass=person)";
        int port = Integer.parseInt(url.substring(url.lastIndexOf(':') + 1));
        var source = new org.springframework.ldap.core.support.LdapContextSource();
        source.setUrl(url);
        source.setBase("dc=example");
        source.setAnonymousReadOnly(true);
        source.afterPropertiesSet();
        AttributesMapper<String> name = attributes -> (String) attributes.get("cn").get();
        show("Spring LdapTemplate", () -> new LdapTemplate(source).search("", filter, name).size());
        show("Spring LdapClient", () -> LdapClient.create(source).search().query(query -> query.base("").filter(filter)).toList(name).size());
        show("ldaptive", () -> new org.ldaptive.SearchOperation(new org.ldaptive.DefaultConnectionFactory(url), "dc=example").execute(filter).entrySize());
        show("Directory API", () -> {
            var connection = new LdapNetworkConnection("127.0.0.1", port);
            connection.connect();
            var cursor = connection.search("dc=example", filter, org.apache.directory.api.ldap.model.message.SearchScope.SUBTREE, "*");
            int count = 0;
            while (cursor.next()) count++;
            return count;
        });
        show("JNDI hasMoreElements", () -> { int count = 0; for (var found = jndi(url); found.hasMoreElements(); found.nextElement()) count++; return count; });
        show("JNDI hasMore", () -> { int count = 0; for (var found = jndi(url); found.hasMore(); found.next()) count++; return count; });
        show("UnboundID", () -> new com.unboundid.ldap.sdk.LDAPConnection("127.0.0.1", port).search("dc=example", com.unboundid.ldap.sdk.SearchScope.SUB, filter).getEntryCount());
        System.exit(0);
    }
}
JAVA
cat >slapd.conf <<CONF
include $work/root/etc/ldap/schema/core.schema
modulepath $work/root/usr/lib/ldap
moduleload back_mdb
database mdb
suffix "dc=example"
directory $work/db
access to * by * read
CONF
python3 - >data.ldif <<'PY'
print("dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n")
for number in range(700):
    print(f"dn: cn=agent{number},dc=example\nobjectClass: person\ncn: agent{number}\nsn: example\n")
PY
url="ldap://127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
slapd() { LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" exec root/usr/sbin/slapd "$@"; }
(slapd -T add -q -f slapd.conf -l data.ldif)
slapd -f slapd.conf -h "$url" -d 0 >slapd.log 2>&1 &
server=$!
sleep 3
seen=$(venv/bin/python ask.py "$url"; ./ask "$url"; node ask.mjs "$url"; java -cp 'jars/*' Ask.java "$url" 2>java.log)
echo "$seen"
[ "$seen" = "ldap3, raise_exceptions=False: 500, returned True
ldap3, raise_exceptions=True: 500, returned True
ldap3 in pages of 100: 500
go-ldap: 500 and an error: true
ldapts: SizeLimitExceededError
Spring LdapTemplate: 500
Spring LdapClient: 500
ldaptive: 500
Directory API: 500
JNDI hasMoreElements: 500
JNDI hasMore: SizeLimitExceededException
UnboundID: LDAPSearchException" ] || changed "other answers to a search that was cut"
echo "as described"

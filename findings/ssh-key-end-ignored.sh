#!/usr/bin/env bash
# Tools: the SSH servers of AsyncSSH 2.24.1 and Twisted Conch 26.10.0 (Python) and Apache MINA SSHD 2.16.0 (Java), each given the same authorized_keys file
#   with options as in sshd(8), among them `expiry-time` for a contractor.
# Expected: an option is obeyed, or a line with an option that the server does not know lets nobody in, as in OpenSSH.
# Happens: AsyncSSH obeys `from` and lets in on a line whose `expiry-time` was in 2020. MINA lets in on each line, by `from` of another address too.
#   Conch lets in on no line that begins with an option, whose time is still to come either. None says a word.
# Hurts: who may fetch recordings by SFTP until the end of their contract fetches them for ever where the server is a library in a program, while the same
#   file ends their access to hosts with OpenSSH; a test with a line whose end is to come passes.
# Instead: certificates, whose end AsyncSSH checks (tried); else a job that takes lines out of the file when they are over; try a line with an
#   end in the past in the test of each server.
set -euo pipefail
work=$(mktemp -d)
servers=()
trap 'for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check asyncssh==2.24.1 'twisted[conch]==26.10.0'
cat >pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.sshd</groupId><artifactId>sshd-core</artifactId><version>2.16.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat >Serve.java <<'JAVA'
import java.nio.file.Path;
import org.apache.sshd.server.SshServer;
import org.apache.sshd.server.config.keys.AuthorizedKeysAuthenticator;
import org.apache.sshd.server.keyprovider.SimpleGeneratorHostKeyProvider;

public class Serve {
    public static void main(String[] args) throws Exception {
        SshServer server = SshServer.setUpDefaultServer();
        server.setHost("127.0.0.1");
        server.setPort(Integer.parseInt(args[0]));
        server.setKeyPairProvider(new SimpleGeneratorHostKeyProvider(Path.of("mina-host")));
        server.setPublickeyAuthenticator(new AuthorizedKeysAuthenticator(Path.of("authorized")));
        server.start();
        Thread.sleep(Long.MAX_VALUE);
    }
}
JAVA
cat >conch.py <<'PY'
import sys
from twisted.conch import avatar, checkers
from twisted.conch.ssh import connection, factory, keys, userauth
from twisted.cred import portal
from twisted.internet import reactor
from zope.interface import implementer

@implementer(portal.IRealm)
class Realm:
    def requestAvatar(self, name, mind, *interfaces):
        return interfaces[0], avatar.ConchUser(), lambda: None

class Keys:
    def getAuthorizedKeys(self, name):
        with open("authorized", "rb") as lines:
            yield from checkers.readAuthorizedKeyFile(lines)

host = keys.Key.fromFile("host")
server = factory.SSHFactory()
server.publicKeys, server.privateKeys = {host.sshType(): host.public()}, {host.sshType(): host}
server.services = {b"ssh-userauth": userauth.SSHUserAuthServer, b"ssh-connection": connection.SSHConnection}
server.portal = portal.Portal(Realm(), [checkers.SSHPublicKeyChecker(Keys())])
server.getPrimes = lambda: None
reactor.listenTCP(int(sys.argv[1]), server, interface="127.0.0.1")
reactor.run()
PY
cat >ask.py <<'PY'
import asyncio, sys
from importlib.metadata import version
import asyncssh

lines = {"no option": "", "ends in 2099": 'expiry-time="20990101"', "ended in 2020": 'expiry-time="20200101"', "from another address": 'from="192.0.2.1"'}

async def main():
    key = asyncssh.read_private_key("key")
    ports = dict(zip(("MINA", "Conch"), map(int, sys.argv[1:])))
    for what, option in lines.items():
        with open("authorized", "w") as file:
            file.write(f"{option} {key.export_public_key().decode()}".lstrip())
        own = await asyncssh.listen("127.0.0.1", 0, server_host_keys=["host"], authorized_client_keys="authorized")
        answers = []
        for name, port in {**ports, "AsyncSSH": own.sockets[0].getsockname()[1]}.items():
            try:
                (await asyncssh.connect("127.0.0.1", port, known_hosts=None, client_keys=[key], username="agent", config=None, agent_path=None)).close()
                answers.append(name + " lets in")
            except asyncssh.PermissionDenied:
                answers.append(name + " refuses")
        own.close()
        print(f"{what}:", ", ".join(answers))
    authority = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    with open("authorized", "w") as file:
        file.write("cert-authority " + authority.export_public_key().decode())
    own = await asyncssh.listen("127.0.0.1", 0, server_host_keys=["host"], authorized_client_keys="authorized")
    for what, end in {"certificate until 2099": "20990101", "certificate until 2020": "20200101"}.items():
        proof = authority.generate_user_certificate(key, "agent", principals=["agent"], valid_after="20190101", valid_before=end)
        try:
            (await asyncssh.connect("127.0.0.1", own.sockets[0].getsockname()[1], known_hosts=None, client_keys=[(key, proof)], username="agent", config=None, agent_path=None)).close()
            print(f"{what}: AsyncSSH lets in")
        except asyncssh.PermissionDenied:
            print(f"{what}: AsyncSSH refuses")

print("AsyncSSH", version("asyncssh"), "Twisted", version("twisted"), file=sys.stderr)
asyncio.run(main())
PY
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ssh-keygen -q -t ecdsa -N '' -f key
ssh-keygen -q -t ecdsa -N '' -f host
cp key.pub authorized
mina=$(free) conch=$(free)
java -cp 'jars/*' Serve.java "$mina" >mina.log 2>&1 &
servers+=($!)
venv/bin/python conch.py "$conch" >conch.log 2>&1 &
servers+=($!)
for port in $mina $conch; do for _ in $(seq 300); do (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.3; done; done
seen=$(venv/bin/python ask.py "$mina" "$conch")
echo "$seen"
[ "$seen" = "no option: MINA lets in, Conch lets in, AsyncSSH lets in
ends in 2099: MINA lets in, Conch refuses, AsyncSSH lets in
ended in 2020: MINA lets in, Conch refuses, AsyncSSH lets in
from another address: MINA lets in, Conch refuses, AsyncSSH refuses
certificate until 2099: AsyncSSH lets in
certificate until 2020: AsyncSSH refuses" ] || changed "other lines let in"
echo "as described"

#!/usr/bin/env bash
# Tools: Python's ssl (its version and OpenSSL's are printed), pyca/cryptography 46.0.3 as the maker of certificates; a server that asks for
#   client certificates and takes new files into its running SSLContext, without a restart.
# Expected: load_cert_chain and load_verify_locations, called again on the context in use, put the new certificate and the new CA in the place
#   of the old ones, for connections from then on.
# Happens: load_cert_chain replaces. load_verify_locations adds: the old CA stays trusted beside the new one, for as long as the process runs,
#   and clients of both get in. There is no call that takes a CA out of a context.
# Hurts: a rotation that ends with the old CA's withdrawal looks done (files changed, reload hook ran, new clients get in), and a
#   client with a key of the old CA still connects to every Python service that was not restarted.
# Instead: make a new SSLContext on each reload and let new connections use it (a callback, or a new listening socket), or restart; test the
#   withdrawal with a client of the old CA.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cryptography==46.0.3
cat > reload.py <<'PY'
import datetime, socket, ssl, sys, threading
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

now = datetime.datetime.now(datetime.timezone.utc)
print("Python", sys.version.split()[0], ssl.OPENSSL_VERSION)

def make(ca):
    """A CA named so, and a certificate of it for both servers and clients."""
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in (ca, "leaf")}
    for name in (ca, "leaf"):
        text = lambda it: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, it)])
        own = name == ca
        builder = (x509.CertificateBuilder().subject_name(text(ca if own else f"leaf of {ca}")).issuer_name(text(ca)).public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(own, None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("desk.example")]), False))
        with open(f"{ca}.pem" if own else f"{ca}-leaf.pem", "wb") as file:
            file.write(builder.sign(keys[ca], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
            if not own:
                file.write(keys[name].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

make("old")
make("new")
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.verify_mode = ssl.CERT_REQUIRED

def reload(ca):
    server.load_cert_chain(f"{ca}-leaf.pem")
    server.load_verify_locations(f"{ca}.pem")

listener = socket.create_server(("127.0.0.1", 0))

def serve():
    while True:
        raw, _ = listener.accept()
        try:
            with server.wrap_socket(raw, server_side=True) as connection:
                connection.sendall(b"in")
        except (ssl.SSLError, OSError):
            raw.close()

threading.Thread(target=serve, daemon=True).start()

def client(ca):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations("old.pem")
    context.load_verify_locations("new.pem")
    context.load_cert_chain(f"{ca}-leaf.pem")
    try:
        with context.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="desk.example") as connection:
            served = dict(part[0] for part in connection.getpeercert()["subject"])["commonName"]
            return f"gets in, is served the {served}" if connection.recv(2) == b"in" else "refused"
    except (ssl.SSLError, OSError):
        return "refused"

reload("old")
print("before: client of the old CA", client("old"))
print("before: client of the new CA", client("new"))
reload("new")
print("after the reload: client of the new CA", client("new"))
print("after the reload: client of the old CA", client("old"))
print("CAs in the context:", len(server.get_ca_certs()))
PY
seen=$(venv/bin/python reload.py)
echo "$seen"
[ "$(tail -n +2 <<<"$seen")" = "before: client of the old CA gets in, is served the leaf of old
before: client of the new CA refused
after the reload: client of the new CA gets in, is served the leaf of new
after the reload: client of the old CA gets in, is served the leaf of new
CAs in the context: 2" ] || changed "other clients get in"
echo "as described"

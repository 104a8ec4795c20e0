#!/usr/bin/env bash
# Tools: tshark, editcap, mergecap and reordercap of Wireshark 4.0.17 (Debian 12), on a capture of two TLS connections of SIP with the
#   keys of both inside, put there by `editcap --inject-secrets` so that a colleague can read it.
# Expected: an excerpt of one packet, or of one connection, has the keys of that connection at most; `--discard-all-secrets` takes them out.
# Happens: an excerpt written by tshark has the keys of all connections of the capture, and so has what mergecap joins. editcap and
#   reordercap write no pcapng from such a file at all ("can't be written as a pcapng file"), and editcap's own `--discard-all-secrets` fails with
#   the same words, so that tshark is the tool that is left. Saving as the old pcap format fails too.
# Hurts: an excerpt "of the one call in question" that goes to a vendor or into a ticket has the keys of every other call of that hour; whoever
#   holds the full capture of it, or recorded the line, reads those calls.
# Instead: keep the keys in their own file, never in the capture; give that connection's lines of it only; search a capture for
#   CLIENT_RANDOM and TRAFFIC_SECRET before it leaves the house.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    tshark=4.0.17-0+deb12u3 wireshark-common=4.0.17-0+deb12u3 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" HOME="$work"
PATH="$work/root/usr/bin:$PATH"
# Two TLS connections: real handshakes over memory, their records written as packets.
python3 - <<'PY'
import ssl, subprocess
subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=sbc.example"], check=True, stderr=subprocess.DEVNULL)
with open("packets.txt", "w") as packets:
    for text in (b"INVITE sip:desk@sbc.example SIP/2.0\r\n", b"INVITE sip:board@sbc.example SIP/2.0\r\n"):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain("cert.pem", "key.pem")
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode, client.keylog_filename = False, ssl.CERT_NONE, "keys.txt"
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
        def write(data):
            for at in range(0, len(data), 1200):
                packets.write("".join(f"{n:06x} {data[at:at + 1200][n:n + 16].hex(' ')}\n" for n in range(0, len(data[at:at + 1200]), 16)) + "\n")
        done = [False, False]
        while not all(done):
            for n, (end, out) in enumerate(zip(ends, (to_server, to_client))):
                try:
                    end.do_handshake()
                    done[n] = True
                except ssl.SSLWantReadError:
                    pass
                data = out.read()
                if data:
                    write(data)
                    out.write(data)
        ends[0].write(text)
        write(to_server.read())
PY
text2pcap -q -T 40000,5061 packets.txt plain.pcapng
editcap --inject-secrets tls,keys.txt plain.pcapng whole.pcapng
editcap --version | head -n 1 | cut -d ' ' -f 1-3
connections() { { grep -aoE '(CLIENT_RANDOM|CLIENT_HANDSHAKE_TRAFFIC_SECRET) [0-9a-f]{64}' "$1" || true; } | sort -u | wc -l; }
try() { # name of the result, command
    local name=$1
    shift
    rm -f out.*
    if "$@" >log 2>&1; then echo "$name: packets $(tshark -r out.pcapng 2>/dev/null | wc -l), keys of $(connections out.pcapng) connections"
    else echo "$name: $(grep -ao "can't be written as a \"[a-z]*\" file" log | head -n 1)"; fi
}
total=$(tshark -r whole.pcapng 2>/dev/null | wc -l)
seen="the capture: keys of $(connections whole.pcapng) connections
$(try "tshark, one packet" tshark -r whole.pcapng -Y "frame.number == $total" -w out.pcapng)
$(try "editcap, one packet" editcap -r whole.pcapng out.pcapng 1-1)
$(try "editcap --discard-all-secrets" editcap --discard-all-secrets whole.pcapng out.pcapng)
$(try "mergecap with a plain capture" mergecap -w out.pcapng whole.pcapng plain.pcapng)
$(try "reordercap" reordercap whole.pcapng out.pcapng)
$(try "tshark as pcap" tshark -r whole.pcapng -F pcap -w out.pcap)"
echo "$seen"
[ "$seen" = "the capture: keys of 2 connections
tshark, one packet: packets 1, keys of 2 connections
editcap, one packet: can't be written as a \"pcapng\" file
editcap --discard-all-secrets: can't be written as a \"pcapng\" file
mergecap with a plain capture: packets $(($(tshark -r plain.pcapng 2>/dev/null | wc -l) * 2)), keys of 2 connections
reordercap: can't be written as a \"pcapng\" file
tshark as pcap: can't be written as a \"pcap\" file" ] || changed "other files have other keys"
echo "as described"

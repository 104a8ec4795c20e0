#!/usr/bin/env bash
# Tool: vcon 0.10.0 (Python; it asks for Python 3.12 and runs with 3.11), the library of the IETF's format for conversations, with its extension for
#   consent and other lawful bases of processing.
# Expected: of several answers of one person for one purpose the newest counts: a consent may be withdrawn, given again, renewed before
#   it ends, and ends when it has to be asked for again.
# Happens: inside one record the first answer counts, so that a withdrawal appended to the list changes nothing. Between records
#   each has to say yes, so that a consent renewed after its end, or given again after a withdrawal, is refused for ever. A record
#   made without a party is written as that of party 0. status_interval="30d" never ends anything. A spoken proof is taken where it
#   contains "agree" or "consent": "No, I do not agree." is, "Ja, gern." is not. All of these records are valid to validate_extensions().
#   Beside it, a time of deletion set as a tag is read back up to its first colon.
# Hurts: who withdrew the consent to be recorded goes on being recorded, transcribed and analysed, while the record of the withdrawal
#   is there; who renewed it is treated as if not; whoever answered for "all" answered for one.
# Instead: keep one record for each party and purpose, replaced at each answer (the old one goes to a log); compute the answer from granted_at and
#   expiration in your own code; pass party_index always; let a person judge what was said.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --ignore-requires-python vcon==0.10.0 authlib==1.9.10
cat > consent.py <<'PY'
import logging
from importlib.metadata import version
logging.disable(logging.CRITICAL)
from vcon import Vcon
from vcon.extensions.lawful_basis.attachment import ProofMechanism, ProofType
from vcon.extensions.lawful_basis.processing import ProofProcessor
from vcon.party import Party

def answer(granted, at):
    return {"purpose": "recording", "granted": granted, "granted_at": f"{at}T10:00:00Z"}

def call(*records):
    made = Vcon.build_new()
    made.add_party(Party(name="Caller"))
    made.add_party(Party(name="Guest"))
    for answers, end, more in records:
        made.add_lawful_basis_attachment("consent", f"{end}T00:00:00Z", answers, **more)
    assert all(result["is_valid"] for result in made.validate_extensions()["attachments"])
    return made

def allowed(made, party=0):
    return "allowed" if made.check_lawful_basis_permission("recording", party) else "refused"

caller, far = {"party_index": 0}, "2099-01-01"
print("vcon", version("vcon"))
print("given, then withdrawn in the same list:", allowed(call(([answer(True, "2026-01-01"), answer(False, "2026-02-01")], far, caller))))
print("given, then withdrawn in a second record:", allowed(call(([answer(True, "2026-01-01")], far, caller), ([answer(False, "2026-02-01")], far, caller))))
print("and given again in a third:", allowed(call(([answer(True, "2026-01-01")], far, caller), ([answer(False, "2026-02-01")], far, caller),
    ([answer(True, "2026-03-01")], far, caller))))
print("ended in 2026, renewed until 2099:", allowed(call(([answer(True, "2025-01-01")], "2026-01-01", caller), ([answer(True, "2025-12-01")], far, caller))))
print("given in 2020, to be asked for every 30 days:", allowed(call(([answer(True, "2020-01-01")], far, {**caller, "status_interval": "30d"}))))
both = call(([answer(True, "2026-01-01")], far, {}))
print("record without a party: first", allowed(both), "second", allowed(both, 1))
for words in ("I consent.", "No, I do not agree.", "Ja, gern."):
    proof = ProofMechanism(ProofType.VERBAL_CONFIRMATION, "2026-01-01T10:00:00Z", {"confirmation_text": words})
    print(f"proof {words!r}:", ProofProcessor().process_proof(proof, both.to_dict()))
both.add_tag("delete_after", "2026-12-01T10:30:00Z")
print("tag delete_after:", both.get_tag("delete_after"))
PY
seen=$(venv/bin/python -W ignore consent.py 2>python.log) || { cat python.log >&2; exit 1; }
echo "$seen"
[ "$seen" = "vcon 0.10.0
given, then withdrawn in the same list: allowed
given, then withdrawn in a second record: refused
and given again in a third: refused
ended in 2026, renewed until 2099: refused
given in 2020, to be asked for every 30 days: allowed
record without a party: first allowed second refused
proof 'I consent.': True
proof 'No, I do not agree.': True
proof 'Ja, gern.': False
tag delete_after: 2026-12-01T10" ] || changed "consents are judged otherwise"
echo "as described"

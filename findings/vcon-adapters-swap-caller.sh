#!/usr/bin/env bash
# Tool: vcon-telephony-adapters 0.2.0 with vcon 0.10.0 (Python; that asks for 3.12 and runs with 3.11), which make vCons, the IETF's format for
#   conversations, of recordings of Twilio, FreeSWITCH, Asterisk, Telnyx and Bandwidth; events as in its own documentation.
# Expected: of an incoming call the originator is the one who called; the vCon tells when the call was; a recording that is
#   referred to by its address has that address.
# Happens: party 0 is the caller, and each incoming call has party 1, the called line, as its originator; outgoing ones are right, save
#   Twilio's "outbound-dial". `created_at` is the time of processing, as the time of the call is set on a name that the vCon does not
#   write out. The address gets ".wav" once more where it has it, so that it leads nowhere. No warning in any.
# Hurts: who called whom decides whether consent to record was needed, whose data a request is about, and if an unasked call was
#   made; a re-import of old recordings gives all of them today's date, and with it a new term; later the audio is not found.
# Instead: after the builder set originator by your own record of the call, and created_at by set_created_at(); count periods from the start of
#   the dialog; open each address before the original is deleted.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --ignore-requires-python vcon-telephony-adapters==0.2.0 vcon==0.10.0 authlib==1.9.10
cat > build.py <<'PY'
import logging
from datetime import datetime, timezone
from importlib.metadata import version
logging.disable(logging.CRITICAL)
from adapters.asterisk.builder import AsteriskRecordingData, AsteriskVconBuilder
from adapters.bandwidth.builder import BandwidthRecordingData, BandwidthVconBuilder
from adapters.freeswitch.builder import FreeSwitchRecordingData, FreeSwitchVconBuilder
from adapters.telnyx.builder import TelnyxRecordingData, TelnyxVconBuilder
from adapters.twilio.builder import TwilioRecordingData, TwilioVconBuilder

caller, called, link, at = "+15550100", "+15550199", "https://calls.example.org/1.wav", "2026-01-02T10:00:00Z"

def events(incoming, twilio):
    name = "inbound" if incoming else "outbound"
    yield "Twilio", TwilioVconBuilder, TwilioRecordingData({"RecordingSid": "1", "From": caller, "To": called, "Direction": twilio,
        "RecordingUrl": link.removesuffix(".wav"), "RecordingStartTime": "Fri, 02 Jan 2026 10:00:00 +0000", "RecordingDuration": "60"})
    yield "FreeSWITCH", FreeSwitchVconBuilder, FreeSwitchRecordingData({"uuid": "1", "caller_id_number": caller, "destination_number": called, "direction": name,
        "start_epoch": int(datetime(2026, 1, 2, 10, tzinfo=timezone.utc).timestamp()), "record_seconds": 60, "recording_url": link})
    yield "Asterisk", AsteriskVconBuilder, AsteriskRecordingData({"recording_name": "1", "caller_id_num": caller, "connected_line_num": called, "direction": name,
        "timestamp": at, "duration": 60, "target_uri": link})
    yield "Telnyx", TelnyxVconBuilder, TelnyxRecordingData({"data": {"event_type": "call.recording.saved", "payload": {"recording_id": "1", "from": caller, "to": called,
        "direction": "incoming" if incoming else "outgoing", "start_time": at, "recording_urls": {"wav": link}}}})
    yield "Bandwidth", BandwidthVconBuilder, BandwidthRecordingData({"recordingId": "1", "from": caller, "to": called, "direction": name, "startTime": at,
        "endTime": "2026-01-02T10:01:00.000Z", "mediaUrl": link})

print(*(f"{name} {version(name)}" for name in ("vcon-telephony-adapters", "vcon")))
for label, incoming, twilio in (("incoming", True, "inbound"), ("outgoing", False, "outbound-api"), ("dialled on", False, "outbound-dial")):
    for name, builder, event in events(incoming, twilio):
        if label == "dialled on" and name != "Twilio":
            continue
        made = builder(download_recordings=False).build(event).to_dict()
        dialog = made["dialog"][0]
        began = made["parties"][dialog["originator"]]["tel"]
        print(f"{name}, {label}: begun by the {'caller' if began == caller else 'called line'}, starts {dialog['start'][:10]}, "
            f"created {'then' if made['created_at'][:10] == dialog['start'][:10] else 'now'}, {dialog['url'].rsplit('/', 1)[1]}")
PY
seen=$(venv/bin/python -W ignore build.py 2>python.log) || { cat python.log >&2; exit 1; }
echo "$seen"
expected="vcon-telephony-adapters 0.2.0 vcon 0.10.0"
for way in "incoming: begun by the called line" "outgoing: begun by the caller"; do
    expected+="
Twilio, $way, starts 2026-01-02, created now, 1.wav"
    for name in FreeSWITCH Asterisk Telnyx Bandwidth; do
        expected+="
$name, $way, starts 2026-01-02, created now, 1.wav.wav"
    done
done
expected+="
Twilio, dialled on: begun by the called line, starts 2026-01-02, created now, 1.wav"
[ "$seen" = "$expected" ] || changed "calls are described otherwise"
echo "as described"

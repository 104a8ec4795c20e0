#!/usr/bin/env bash
# Tools: Orthanc 1.10.1, dcmqrscp of DCMTK 3.6.7 (both Debian 12, unpacked, not installed) and the archive of pynetdicom 3.0.4 (`qrscp`), each with three studies: one of 2015, one
#   of this year, and one of this year whose date is empty, as DICOM allows (type 2). A retention job asks by C-FIND for studies up to a day (`-20160101`), and for those from a day on.
# Expected: who is asked for studies up to a day does not name one without a date, or all archives do; written with the day 1 of year 1 as its begin, the range is the same.
# Happens: to Orthanc, by DICOM and by REST, the study without a date is older than any day: `-20160101` names it, `00010101-20160101` does not, and no range from a day on does.
#   dcmqrscp and pynetdicom name it in no range at all.
# Hurts: a job that deletes what was taken before 2016 deletes an emergency scan of today from Orthanc; from the other two the study never goes, and the count of
#   "before" and "since" is one short of all, without a sign.
# Instead: give ranges both ends; ask for all studies and look at their dates in the job; list those without a date by themselves and judge them by when they came
#   (`LastUpdate` in Orthanc).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    orthanc=1.10.1+dfsg-2+deb12u1 dcmtk=3.6.7-9~deb12u4 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pydicom==3.0.2 pynetdicom==3.0.4 sqlalchemy==2.1.9
cat > ask.py <<'PY'
import glob, json, os, socket, subprocess, sys, time, urllib.request
import pynetdicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

here = os.getcwd()
folders = {os.path.dirname(os.path.abspath(path)) for path in glob.glob("root/usr/lib/**/*.so*", recursive=True)}
environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders)), "DCMDICTPATH": glob.glob(here + "/root/usr/share/libdcmtk*/dicom.dic")[0]}

def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

def study(number, name, date):
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = SecondaryCaptureImageStorage
    made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID = (f"1.2.826.0.1.3680043.9.7777.{level}.{number}" for level in (1, 2, 3))
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = f"P{number}", name, "", ""
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber, made.ReferringPhysicianName = date, "", str(number), "", ""
    made.Modality, made.ConversionType, made.SeriesNumber, made.InstanceNumber = "OT", "WSD", 1, 1
    made.Rows = made.Columns = 2
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelData = 7, b"\0\0\0\0"
    return made

def orthanc(port, http):
    os.mkdir("orthanc")
    with open("orthanc.json", "w") as file:
        json.dump({"StorageDirectory": "orthanc", "IndexDirectory": "orthanc", "Plugins": [], "DicomPort": port, "HttpPort": http, "DicomAet": "ARCHIVE", "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowStore": True}, file)
    return ["root/usr/sbin/Orthanc", "orthanc.json"]

def dcmqrscp(port):
    os.mkdir("dcmqrscp")
    with open("dcmqrscp.cfg", "w") as file:
        file.write(f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nARCHIVE {here}/dcmqrscp RW (200, 1024mb) ANY\nAETable END\n")
    return ["root/usr/bin/dcmqrscp", "-c", "dcmqrscp.cfg"]

def qrscp(port):
    return [sys.executable, os.path.dirname(pynetdicom.__file__) + "/apps/qrscp/qrscp.py", "--port", str(port), "-aet", "ARCHIVE",
        "--database-location", here + "/qrscp.sqlite", "--instance-location", here + "/qrscp", "-q"]

def archive(label, command, port, http=None):
    with open("server.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    peer = AE("SENDER")
    for context in (SecondaryCaptureImageStorage, StudyRootQueryRetrieveInformationModelFind):
        peer.add_requested_context(context, ExplicitVRLittleEndian)
    try:
        for _ in range(300):
            link = peer.associate("127.0.0.1", port, ae_title="ARCHIVE")
            if link.is_established:
                break
            time.sleep(0.2)
        for number, (name, date) in enumerate((("Old", "20150615"), ("New", "20260601"), ("Undated", "")), 1):
            assert link.send_c_store(study(number, name, date)).Status == 0
        told = []
        for dates in ("", "-20160101", "00010101-20160101", "20160101-"):
            query = Dataset()
            query.QueryRetrieveLevel, query.PatientName, query.StudyInstanceUID, query.StudyDate = "STUDY", "", "", dates
            found = sorted(str(answer.PatientName) for _, answer in link.send_c_find(query, StudyRootQueryRetrieveInformationModelFind) if answer)
            told.append(f"{dates or 'all'} {'+'.join(found)}")
        link.release()
        print(f"{label}:", ", ".join(told), flush=True)
        if http:
            ask = json.dumps({"Level": "Study", "Expand": True, "Query": {"StudyDate": "-20160101"}}).encode()
            with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{http}/tools/find", data=ask), timeout=60) as answer:
                print(f"{label}, by REST: -20160101", "+".join(sorted(one["PatientMainDicomTags"]["PatientName"] for one in json.load(answer))))
    finally:
        server.terminate()
        server.wait()

port, http = free_port(), free_port()
archive("Orthanc", orthanc(port, http), port, http)
port = free_port()
archive("dcmqrscp", dcmqrscp(port), port)
port = free_port()
archive("pynetdicom", qrscp(port), port)
PY
for package in debs/orthanc_*.deb debs/dcmtk_*.deb; do dpkg-deb -f "$package" Package Version | paste -sd ' '; done
seen=$(venv/bin/python -W ignore ask.py 2>python.log) || { cat python.log >&2; exit 1; }
echo "$seen"
[ "$seen" = "Orthanc: all New+Old+Undated, -20160101 Old+Undated, 00010101-20160101 Old, 20160101- New
Orthanc, by REST: -20160101 Old+Undated
dcmqrscp: all New+Old+Undated, -20160101 Old, 00010101-20160101 Old, 20160101- New
pynetdicom: all New+Old+Undated, -20160101 Old, 00010101-20160101 Old, 20160101- New" ] || changed "ranges name other studies"
echo "as described"

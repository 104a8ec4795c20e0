#!/usr/bin/env bash
# Tools: Orthanc 1.10.1 with its defaults, beside dcmqrscp of DCMTK 3.6.7 (both Debian 12, unpacked, not installed) and the archive of pynetdicom 3.0.4 (`qrscp`). An image
#   is stored, and stored again after a correction, under the same UIDs as DICOM asks for: the patient's name was wrong, the identifier burned into the picture is blackened.
# Expected: the answer "success" (0x0000) means that what was sent is what the archive has from now on; or the archive refuses it.
# Happens: Orthanc answers success, by DICOM and by its REST interface, and keeps what it had: the old name is found, the old pixels are handed out. Only the REST answer
#   has a word for it (`AlreadyStored`, with status 200). With `OverwriteInstances: true` it takes the correction. The other two take it.
# Hurts: a picture that was redacted and sent back lies in the archive unredacted, a scan filed under a wrong person stays with that person, and the log of the
#   sender counts a success; the copy in the next archive, forwarded from this one, is the old one too.
# Instead: set `OverwriteInstances` to true, or delete the instance before the correction is stored; fetch it afterwards and compare; take any `AlreadyStored` as a failure.
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
cat > store.py <<'PY'
import glob, io, json, os, socket, subprocess, sys, time, urllib.request
import pynetdicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelGet

here = os.getcwd()
folders = {os.path.dirname(os.path.abspath(path)) for path in glob.glob("root/usr/lib/**/*.so*", recursive=True)}
environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders)), "DCMDICTPATH": glob.glob(here + "/root/usr/share/libdcmtk*/dicom.dic")[0]}

def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

def image(name, pixels):
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.826.0.1.3680043.9.7777.3.1"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.826.0.1.3680043.9.7777.1.1", "1.2.826.0.1.3680043.9.7777.2.1"
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = "P1", name, "", ""
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber, made.ReferringPhysicianName = "20260301", "120000", "1", "1", ""
    made.Modality, made.ConversionType, made.SeriesNumber, made.InstanceNumber = "OT", "WSD", 1, 1
    made.Rows = made.Columns = 2
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelData = 7, pixels
    return made

def orthanc(port, http, folder, **more):
    os.mkdir(folder)
    with open(folder + ".json", "w") as file:
        json.dump({"StorageDirectory": folder, "IndexDirectory": folder, "Plugins": [], "DicomPort": port, "HttpPort": http, "DicomAet": "ARCHIVE", "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True, "DicomAlwaysAllowStore": True, **more}, file)
    return ["root/usr/sbin/Orthanc", folder + ".json"]

def dcmqrscp(port):
    os.mkdir("dcmqrscp")
    with open("dcmqrscp.cfg", "w") as file:
        file.write(f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nARCHIVE {here}/dcmqrscp RW (200, 1024mb) ANY\nAETable END\n")
    return ["root/usr/bin/dcmqrscp", "-c", "dcmqrscp.cfg"]

def qrscp(port):
    return [sys.executable, os.path.dirname(pynetdicom.__file__) + "/apps/qrscp/qrscp.py", "--port", str(port), "-aet", "ARCHIVE",
        "--database-location", here + "/qrscp.sqlite", "--instance-location", here + "/qrscp", "-q"]

def associate(port, handlers=()):
    peer = AE("SENDER")
    for context in (SecondaryCaptureImageStorage, StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelGet):
        peer.add_requested_context(context, ExplicitVRLittleEndian)
    return peer.associate("127.0.0.1", port, ae_title="ARCHIVE", evt_handlers=list(handlers), ext_neg=[build_role(SecondaryCaptureImageStorage, scp_role=True)] if handlers else [])

def archive(label, command, port, http=None):
    with open("server.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(300):
            link = associate(port)
            if link.is_established:
                break
            time.sleep(0.2)
        stored = [f"0x{link.send_c_store(version).Status:04x}" for version in (image("Wrong^Erika", b"\xff\xff\xff\xff"), image("Right^Anna", b"\0\0\0\0"))]
        line = f"{label}: stored {stored[0]}, corrected {stored[1]}"
        if http:
            text = io.BytesIO()
            image("Right^Anna", b"\0\0\0\0").save_as(text, enforce_file_format=True)
            with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{http}/instances", data=text.getvalue()), timeout=60) as answer:
                line += f", by REST {answer.status} {json.load(answer)['Status']}"
        link.release()
        got = []
        def handed(event):
            got.append(event.dataset)
            return 0
        link = associate(port, [(evt.EVT_C_STORE, handed)])
        query = Dataset()
        query.QueryRetrieveLevel, query.PatientName, query.StudyInstanceUID = "STUDY", "", "1.2.826.0.1.3680043.9.7777.1.1"
        found = [str(answer.PatientName) for _, answer in link.send_c_find(query, StudyRootQueryRetrieveInformationModelFind) if answer]
        del query.PatientName
        list(link.send_c_get(query, StudyRootQueryRetrieveInformationModelGet))
        link.release()
        pixels = ["white" if one.PixelData == b"\xff\xff\xff\xff" else "black" for one in got]
        print(f"{line}; found {', '.join(found)}; handed out {', '.join(f'{one.PatientName} {color}' for one, color in zip(got, pixels))}", flush=True)
    finally:
        server.terminate()
        server.wait()

port, http = free_port(), free_port()
archive("Orthanc", orthanc(port, http, "orthanc"), port, http)
port, http = free_port(), free_port()
archive("Orthanc, OverwriteInstances", orthanc(port, http, "orthanc2", OverwriteInstances=True), port, http)
port = free_port()
archive("dcmqrscp", dcmqrscp(port), port)
port = free_port()
archive("pynetdicom", qrscp(port), port)
PY
for package in debs/orthanc_*.deb debs/dcmtk_*.deb; do dpkg-deb -f "$package" Package Version | paste -sd ' '; done
seen=$(venv/bin/python -W ignore store.py 2>python.log) || { cat python.log >&2; exit 1; }
echo "$seen"
[ "$seen" = "Orthanc: stored 0x0000, corrected 0x0000, by REST 200 AlreadyStored; found Wrong^Erika; handed out Wrong^Erika white
Orthanc, OverwriteInstances: stored 0x0000, corrected 0x0000, by REST 200 Success; found Right^Anna; handed out Right^Anna black
dcmqrscp: stored 0x0000, corrected 0x0000; found Right^Anna; handed out Right^Anna black
pynetdicom: stored 0x0000, corrected 0x0000; found Right^Anna; handed out Right^Anna black" ] || changed "corrections are taken otherwise"
echo "as described"

#!/usr/bin/env bash
# Tools: PyMuPDF 2.0, pypdf 7.1.1, pikepdf 10.18.0 (Python), pdf-lib 1.17.1 (Node.js); a file of two pages by reportlab 5.1.0, written anew under another name each time.
# Expected: a page that was deleted, or words that were redacted (not just covered), are not in the file that is saved under another name.
# Happens: the page list and the page no longer name the old content, and the saved file holds it as an object that nothing refers to: after
#   PyMuPDF's apply_redactions and after delete_page with a plain save, and after pypdf's (on a clone) and pdf-lib's removePage. A reader shows
#   nothing, a search finds nothing, and a program that reads the objects one by one prints it. pikepdf leaves out such objects.
# Hurts: a transcript or a dossier handed out after redaction still holds the names and diagnoses; the check by eye and by search passes.
# Instead: PyMuPDF: save(garbage=1) or more, or ez_save; pypdf, pdf-lib: copy the pages that stay into a new file; check it by decompressing
#   every object and searching there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pymupdf==2.0 pypdf==7.1.1 pikepdf==10.18.0 reportlab==5.1.0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund pdf-lib@1.17.1
cat > remove.mjs <<'JS'
import { readFileSync, writeFileSync } from 'node:fs';
import { PDFDocument } from 'pdf-lib';
const file = await PDFDocument.load(readFileSync('dossier.pdf'));
file.removePage(1);
writeFileSync('out.pdf', await file.save());
JS
cat > remove.py <<'PY'
import subprocess
from importlib.metadata import version
import pikepdf, pymupdf, pypdf
from reportlab.pdfgen import canvas

print(*(f"{name} {version(name)}" for name in ("pymupdf", "pypdf", "pikepdf")))
maker = canvas.Canvas("dossier.pdf")
for text in ("Call of 28 February", "Caller has Examplitis"):
    maker.drawString(100, 700, text)
    maker.showPage()
maker.save()

def tell(way):
    seen = "".join(page.get_text() for page in pymupdf.open("out.pdf"))
    file = pymupdf.open("out.pdf")
    streams = (file.xref_stream(number) for number in range(1, file.xref_length()) if file.xref_is_stream(number))
    kept = any(b"Examplitis" in stream for stream in streams)
    print(f"{way}: a search {'finds' if 'Examplitis' in seen else 'does not find'} the word, the file {'holds' if kept else 'does not hold'} it")

def redacted():
    file = pymupdf.open("dossier.pdf")
    for place in file[1].search_for("Examplitis"):
        file[1].add_redact_annot(place)
    file[1].apply_redactions()
    return file

def shortened():
    file = pymupdf.open("dossier.pdf")
    file.delete_page(1)
    return file

redacted().save("out.pdf")
tell("PyMuPDF, words redacted, save")
redacted().save("out.pdf", garbage=1)
tell("PyMuPDF, words redacted, save(garbage=1)")
shortened().save("out.pdf")
tell("PyMuPDF, page deleted, save")
shortened().ez_save("out.pdf")
tell("PyMuPDF, page deleted, ez_save")
writer = pypdf.PdfWriter(clone_from="dossier.pdf")
writer.remove_page(1)
writer.write("out.pdf")
tell("pypdf, page removed from a clone")
writer = pypdf.PdfWriter()
writer.add_page(pypdf.PdfReader("dossier.pdf").pages[0])
writer.write("out.pdf")
tell("pypdf, first page added to a new file")
subprocess.run(["node", "remove.mjs"], check=True)
tell("pdf-lib, page removed")
with pikepdf.open("dossier.pdf") as file:
    del file.pages[1]
    file.save("out.pdf")
tell("pikepdf, page deleted")
PY
seen=$(venv/bin/python remove.py)
echo "$seen"
[ "$(tail -n +2 <<<"$seen")" = "PyMuPDF, words redacted, save: a search does not find the word, the file holds it
PyMuPDF, words redacted, save(garbage=1): a search does not find the word, the file does not hold it
PyMuPDF, page deleted, save: a search does not find the word, the file holds it
PyMuPDF, page deleted, ez_save: a search does not find the word, the file does not hold it
pypdf, page removed from a clone: a search does not find the word, the file holds it
pypdf, first page added to a new file: a search does not find the word, the file does not hold it
pdf-lib, page removed: a search does not find the word, the file holds it
pikepdf, page deleted: a search does not find the word, the file does not hold it" ] || changed "other files hold the word"
echo "as described"

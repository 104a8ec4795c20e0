#!/usr/bin/env bash
# Tools: openpyxl 3.1.5, python-pptx 1.0.2, python-docx 1.2.0 (Python), @protobi/exceljs 4.4.0-protobi.10 (Node.js), on a report of calls with a pivot
#   table, slides with a chart, and a letter with a picture.
# Expected: rows, sheets, slides, charts and pictures that were removed are not in the saved file; after it was opened and saved again, surely not.
# Happens: the names of the deleted rows, and of the deleted sheet, stay in the cache of the pivot table, which is saved with the report (exceljs
#   keeps it as well, when the sheet of the calls is removed). Removed slides, charts with the workbook embedded in them, and
#   pictures stay in the file as parts that are still related to something, after opening and saving again too.
# Hurts: a report "without patients" that goes to a customer has them all, one `unzip` away; a redacted letter has the scan that was taken out.
#   Searching the cells or slides finds nothing.
# Instead: write a new file from what shall remain; else drop the relation together with the element (`part.drop_rel`) and the pivot tables
#   before saving; search all parts of the zip for the names before a file leaves.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @protobi/exceljs@4.4.0-protobi.10
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openpyxl==3.1.5 python-pptx==1.0.2 python-docx==1.2.0 pillow==13.0.0
cat > report.cjs <<'JS'
const { Workbook } = require('@protobi/exceljs');
(async () => {
    const book = new Workbook();
    const calls = book.addWorksheet('calls');
    calls.addRows([['agent', 'patient', 'minutes'], ['ann', 'Zyxwvut', 3], ['bob', 'Qponmlk', 4], ['ann', 'Rstuvwx', 5]]);
    book.addWorksheet('report').addPivotTable({ sourceSheet: calls, rows: ['agent'], columns: ['patient'], values: ['minutes'], metric: 'sum' });
    await book.xlsx.writeFile('report.xlsx');
    const read = new Workbook();
    await read.xlsx.readFile('report.xlsx');
    read.removeWorksheet('calls');
    await read.xlsx.writeFile('exceljs.xlsx');
})();
JS
node report.cjs 2>/dev/null
cat > remove.py <<'PY'
import zipfile
from docx import Document
from openpyxl import load_workbook
from PIL import Image
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE

def tell(what, path, wanted=lambda name, data: b"Zyxwvut" in data):
    with zipfile.ZipFile(path) as file:
        print(f"{what}:", " ".join(name for name in sorted(file.namelist()) if wanted(name, file.read(name))) or "nothing")

book = load_workbook("report.xlsx")
book["calls"].delete_rows(2, 3)
book.save("rows.xlsx")
load_workbook("rows.xlsx").save("rows.xlsx")
tell("openpyxl, rows deleted", "rows.xlsx")
book = load_workbook("report.xlsx")
del book["calls"]
book.save("sheet.xlsx")
tell("openpyxl, sheet deleted", "sheet.xlsx")
tell("exceljs, sheet removed", "exceljs.xlsx")

show = Presentation()
first, second = (show.slides.add_slide(show.slide_layouts[5]) for _ in range(2))
data = CategoryChartData()
data.categories = ["Zyxwvut", "Qponmlk"]
data.add_series("minutes", (3, 4))
chart = first.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 0, 100, 100, data)
second.shapes.title.text = "Zyxwvut"
show.save("slides.pptx")
show = Presentation("slides.pptx")
slides = show.slides._sldIdLst
slides.remove(slides[1])
chart = next(shape for shape in show.slides[0].shapes if shape.has_chart)
chart._element.getparent().remove(chart._element)
show.save("removed.pptx")
show = Presentation("removed.pptx")
show.save("removed.pptx")
print("python-pptx: slides", len(show.slides), "charts", sum(shape.has_chart for slide in show.slides for shape in slide.shapes))
tell("python-pptx, slide and chart removed", "removed.pptx", lambda name, data: b"Zyxwvut" in data or "embeddings" in name)

Image.new("RGB", (40, 40), (1, 2, 3)).save("scan.png")
letter = Document()
letter.add_paragraph("text")
letter.add_picture("scan.png")
letter.save("letter.docx")
letter = Document("letter.docx")
letter.paragraphs[1]._element.getparent().remove(letter.paragraphs[1]._element)
letter.save("letter.docx")
letter = Document("letter.docx")
letter.save("letter.docx")
print("python-docx: pictures", len(letter.inline_shapes))
tell("python-docx, picture removed", "letter.docx", lambda name, data: "media" in name)
PY
seen=$(venv/bin/python remove.py)
echo "$seen"
[ "$seen" = "openpyxl, rows deleted: xl/pivotCache/pivotCacheDefinition1.xml
openpyxl, sheet deleted: xl/pivotCache/pivotCacheDefinition1.xml
exceljs, sheet removed: xl/pivotCache/pivotCacheDefinition1.xml
python-pptx: slides 1 charts 0
python-pptx, slide and chart removed: ppt/charts/chart1.xml ppt/embeddings/Microsoft_Excel_Sheet1.xlsx ppt/slides/slide2.xml
python-docx: pictures 0
python-docx, picture removed: word/media/image1.png" ] || changed "other parts stay"
echo "as described"

#!/usr/bin/env bash
# Tools: openpyxl 3.1.5 (Python), Apache POI 5.4.1 (Java), @protobi/exceljs 4.4.0-protobi.10 (Node.js): a workbook with a sheet of calls and a pivot table
#   that counts them by team; the calls of one caller are removed for an erasure, or the whole sheet before the summary goes out.
# Expected: after the rows or the sheet were removed and the workbook was saved, the callers' names are nowhere in the file.
# Happens: the pivot table has a copy of its source (pivotCacheDefinition, pivotCacheRecords). All three keep it as it was: the names are in the file
#   after the row was removed, and after the sheet was. A search through all cells finds nothing; the program that opens the file lists the
#   names in the filter of the table. POI leaves the words of removed cells in the table of strings (sharedStrings.xml) besides.
# Hurts: a summary by team that is sent to the insurer or is published holds every caller with all columns of the source; an erasure that walks through
#   the cells of reports reports that the person is gone.
# Instead: search the unpacked parts of the file, not the cells; remove pivot tables with their caches, or write the sums as values into a new workbook;
#   never hand out a workbook that once had the rows.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openpyxl==3.1.5
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @protobi/exceljs@4.4.0-protobi.10
cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.poi</groupId><artifactId>poi-ooxml</artifactId><version>5.4.1</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.24.3</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > exceljs.mjs <<'JS'
import ExcelJS from '@protobi/exceljs';
const book = new ExcelJS.Workbook();
const calls = book.addWorksheet('Calls');
calls.addRows([['caller', 'team', 'minutes'], ['Erika Muster', 'A', 4], ['Max Beispiel', 'B', 7], ['Ida Probe', 'A', 2]]);
book.addWorksheet('Summary').addPivotTable({ sourceSheet: calls, rows: ['team'], columns: ['caller'], values: ['minutes'], metric: 'sum' });
await book.xlsx.writeFile('book.xlsx');
const open = async (name, change) => {
  const copy = new ExcelJS.Workbook();
  await copy.xlsx.readFile('book.xlsx');
  change(copy);
  await copy.xlsx.writeFile(name);
};
await open('exceljs-row.xlsx', (copy) => copy.getWorksheet('Calls').spliceRows(2, 1));
await open('exceljs-sheet.xlsx', (copy) => copy.removeWorksheet('Calls'));
JS
cat > Poi.java <<'JAVA'
import java.io.*;
import org.apache.poi.xssf.usermodel.XSSFWorkbook;

public class Poi {
    public static void main(String[] none) throws Exception {
        for (String what : new String[] {"row", "sheet"}) {
            try (var book = new XSSFWorkbook(new FileInputStream("book.xlsx")); var out = new FileOutputStream("poi-" + what + ".xlsx")) {
                var calls = book.getSheet("Calls");
                if (what.equals("sheet")) book.removeSheetAt(book.getSheetIndex(calls));
                else { calls.removeRow(calls.getRow(1)); calls.shiftRows(2, 3, -1); }
                book.write(out);
            }
        }
    }
}
JAVA
cat > look.py <<'PY'
import zipfile
import openpyxl
for what in ("row", "sheet"):
    book = openpyxl.load_workbook("book.xlsx")
    book["Calls"].delete_rows(2) if what == "row" else book.remove(book["Calls"])
    book.save(f"openpyxl-{what}.xlsx")
for name in ("book", *(f"{tool}-{what}" for tool in ("openpyxl", "poi", "exceljs") for what in ("row", "sheet"))):
    cells = sum("Erika Muster" == cell for sheet in openpyxl.load_workbook(name + ".xlsx") for row in sheet.iter_rows(values_only=True) for cell in row)
    file = zipfile.ZipFile(name + ".xlsx")
    print(f"{name}: in cells {cells}, in {' '.join(sorted(part.rsplit('/', 1)[-1] for part in file.namelist() if b'Erika Muster' in file.read(part)))}, "
        f"rows in the cache {sum(file.read(part).count(b'<r>') for part in file.namelist() if 'pivotCacheRecords' in part)}")
PY
node exceljs.mjs >exceljs.log 2>&1 || { cat exceljs.log >&2; exit 1; }
java -cp 'jars/*' Poi.java 2>poi.log || { cat poi.log >&2; exit 1; }
seen=$(venv/bin/python look.py)
echo "openpyxl 3.1.5, Apache POI 5.4.1, @protobi/exceljs 4.4.0-protobi.10"
echo "$seen"
[ "$seen" = "book: in cells 1, in pivotCacheDefinition1.xml sharedStrings.xml, rows in the cache 3
openpyxl-row: in cells 0, in pivotCacheDefinition1.xml, rows in the cache 3
openpyxl-sheet: in cells 0, in pivotCacheDefinition1.xml, rows in the cache 3
poi-row: in cells 0, in pivotCacheDefinition1.xml sharedStrings.xml, rows in the cache 3
poi-sheet: in cells 0, in pivotCacheDefinition1.xml sharedStrings.xml, rows in the cache 3
exceljs-row: in cells 0, in pivotCacheDefinition1.xml, rows in the cache 3
exceljs-sheet: in cells 0, in pivotCacheDefinition1.xml, rows in the cache 3" ] || changed "other copies are kept"
echo "as described"

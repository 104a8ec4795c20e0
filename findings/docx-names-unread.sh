#!/usr/bin/env bash
# Tools: python-docx 1.2.0, docx2python 3.7.1, docx2txt 0.9 (Python), mammoth 1.13.0, officeparser 7.8.0 (Node.js), Apache POI 5.4.1 (Java): the text of a letter,
#   read to find what has to be redacted, indexed or handed out.
# Expected: whatever stands on the page is in the text, for all of them.
# Happens: python-docx leaves out what is in a content control (a form's field), what was inserted while changes were tracked, what a merge field filled in and
#   what was marked as a name: the very places where templates put the patient. Its paragraphs have the words around, so that nothing looks
#   amiss. officeparser leaves out paragraphs in a content control, mammoth merge fields, all but POI comments. A name that was deleted while
#   changes were tracked, which the file still has, is read by POI only.
# Hurts: a letter from the clinic's template passes the search for names as clean and goes out; redaction by paragraphs leaves the name where the reader
#   sees it; a request for access misses the letters of the patient.
# Instead: read all `w:t` and `w:delText` of all parts of the file, whatever is around them; accept changes and turn fields into text before redacting;
#   print to PDF and compare its text with what was read.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-docx==1.2.0 docx2python==3.7.1 docx2txt==0.9
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund mammoth@1.13.0 officeparser@7.8.0
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
cat > write.py <<'PY'
import docx
from docx.oxml import parse_xml
space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
run = lambda text, tag="t": f"<w:r><w:{tag}>{text}</w:{tag}></w:r>"
letter = docx.Document()
letter.add_comment(letter.add_paragraph("Letter of Plainname").runs, text="called by Commentname", author="agent")
letter.add_table(1, 1).cell(0, 0).text = "Tablename"
for xml in (
    f"<w:sdt {space}><w:sdtContent><w:p>{run('Blockname')}</w:p></w:sdtContent></w:sdt>",
    f"<w:p {space}>{run('Patient:')}<w:sdt><w:sdtContent>{run('Fieldname')}</w:sdtContent></w:sdt></w:p>",
    f'<w:p {space}>{run("Now")}<w:ins w:id="1" w:author="agent">{run("Insertedname")}</w:ins><w:del w:id="2" w:author="agent">{run("Deletedname", "delText")}</w:del></w:p>',
    f'<w:p {space}>{run("Dear")}<w:fldSimple w:instr="MERGEFIELD Name">{run("Mergename")}</w:fldSimple></w:p>',
    f'<w:p {space}>{run("for")}<w:smartTag w:element="PersonName">{run("Markedname")}</w:smartTag></w:p>',
):
    letter.element.body.insert(len(letter.element.body) - 1, parse_xml(xml))
letter.save("letter.docx")
PY
cat > read.py <<'PY'
import docx, docx2txt
from docx2python import docx2python
letter = docx.Document("letter.docx")
open("python-docx.txt", "w").write("\n".join([*(it.text for it in letter.paragraphs), *(cell.text for table in letter.tables for row in table.rows for cell in row.cells)]))
with docx2python("letter.docx") as read:
    open("docx2python.txt", "w").write(read.text)
open("docx2txt.txt", "w").write(docx2txt.process("letter.docx"))
PY
cat > read.mjs <<'JS'
import { writeFileSync } from 'node:fs';
import mammoth from 'mammoth';
import * as office from 'officeparser';
writeFileSync('mammoth.txt', (await mammoth.extractRawText({ path: 'letter.docx' })).value);
const parsed = await office.OfficeParser.parseOffice('letter.docx');
writeFileSync('officeparser.txt', typeof parsed === 'string' ? parsed : parsed.toText());
JS
cat > Read.java <<'JAVA'
import java.io.*;
import java.nio.file.*;
import org.apache.poi.xwpf.extractor.XWPFWordExtractor;
import org.apache.poi.xwpf.usermodel.XWPFDocument;

public class Read {
    public static void main(String[] none) throws Exception {
        try (var text = new XWPFWordExtractor(new XWPFDocument(new FileInputStream("letter.docx")))) {
            Files.writeString(Path.of("poi.txt"), text.getText());
        }
    }
}
JAVA
venv/bin/python write.py
venv/bin/python read.py
node read.mjs
java -cp 'jars/*' Read.java 2>poi.log || { cat poi.log >&2; exit 1; }
seen=$(for tool in python-docx docx2python docx2txt mammoth officeparser poi; do
    left=""
    for name in Plain Table Block Field Inserted Merge Marked Comment Deleted; do grep -q "${name}name" "$tool.txt" || left+=" $name"; done
    echo "$tool leaves out:$left"
done)
echo "python-docx 1.2.0, docx2python 3.7.1, docx2txt 0.9, mammoth 1.13.0, officeparser 7.8.0, Apache POI 5.4.1"
echo "$seen"
[ "$seen" = "python-docx leaves out: Block Field Inserted Merge Marked Comment Deleted
docx2python leaves out: Comment Deleted
docx2txt leaves out: Comment Deleted
mammoth leaves out: Merge Comment Deleted
officeparser leaves out: Block Comment Deleted
poi leaves out:" ] || changed "other names are read"
echo "as described"

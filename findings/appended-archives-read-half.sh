#!/usr/bin/env bash
# Tools: zstandard 0.25.0, lz4 4.4.5 (Python); fflate 0.8.3, lz4js 0.2.0 (Node.js); commons-compress 1.28.0 (Java); flate2 1.1.11, ruzstd 0.8.3,
#   lz4_flex 0.12.3, bzip2-rs 0.1.2 (Rust), beside pyzstd 0.20.0, fzstd 0.1.1, zstd-jni 1.5.7-6 and the standard libraries.
# Expected: a log that was closed and appended to in its compressed form (RFC 1952 has members, RFC 8878 frames for that; `cat a.gz b.gz` makes
#   one) is read to its end, as gzip and zstd do, or refused.
# Happens: thirteen ways of reading stop at the end of the first part and report the end of the file. In one library the neighbour reads all:
#   zstandard's decompress and read_to_iter stop, its stream_reader and copy_stream go on; lz4.frame.decompress stops, lz4.frame.open goes on;
#   commons-compress stops for gzip, bzip2, xz and lz4, and goes on for zstd.
# Hurts: an audit log of a service that was restarted at nine seems to end at nine; an export, a search for a caller, a check of a hash chain or
#   an import into the archive, after which the source is deleted, silently covers the first part.
# Instead: MultiGzDecoder, `decompressConcatenated`, `read_across_frames=True`, the open of the module; compare the position after reading with
#   the length of the file; test readers with two parts. In doubt write one file per start.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check zstandard==0.25.0 lz4==4.4.5 pyzstd==0.20.0
cat > write.py <<'PY'
import bz2, gzip, lz4.frame, lzma, zstandard
for name, compress in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zstandard.compress), ("lz4", lz4.frame.compress)):
    for part in (b"before", b" and after the restart"):
        with open("log." + name, "ab") as file:
            file.write(compress(part))
PY
cat > read.py <<'PY'
import bz2, gzip, io, lz4.frame, lzma, pyzstd, zstandard
read = {name: open("log." + name, "rb").read() for name in ("gz", "bz2", "xz", "zst", "lz4")}
def copied():
    out = io.BytesIO()
    zstandard.ZstdDecompressor().copy_stream(io.BytesIO(read["zst"]), out)
    return out.getvalue()
for name, text in (
    ("Python gzip", gzip.decompress(read["gz"])), ("Python bz2", bz2.decompress(read["bz2"])), ("Python lzma", lzma.decompress(read["xz"])),
    ("pyzstd", pyzstd.decompress(read["zst"])),
    ("zstandard stream_reader", zstandard.ZstdDecompressor().stream_reader(io.BytesIO(read["zst"])).read()), ("zstandard copy_stream", copied()),
    ("zstandard decompress", zstandard.decompress(read["zst"])),
    ("zstandard read_to_iter", b"".join(zstandard.ZstdDecompressor().read_to_iter(io.BytesIO(read["zst"])))),
    ("lz4.frame.open", lz4.frame.open("log.lz4").read()), ("lz4.frame.decompress", lz4.frame.decompress(read["lz4"]))):
    print(f"{name}: {text.decode()}")
PY
cat > read.cjs <<'JS'
const { readFileSync } = require("fs");
const tell = (name, bytes) => console.log(`${name}: ${Buffer.from(bytes)}`);
tell("Node.js gunzip", require("zlib").gunzipSync(readFileSync("log.gz")));
tell("fzstd", require("fzstd").decompress(readFileSync("log.zst")));
tell("fflate gunzip", require("fflate").gunzipSync(readFileSync("log.gz")));
tell("lz4js", require("lz4js").decompress(readFileSync("log.lz4")));
JS
cat > Read.java <<'JAVA'
import java.io.*;
import org.apache.commons.compress.compressors.CompressorStreamFactory;

public class Read {
    static InputStream file(String name) throws IOException { return new BufferedInputStream(new FileInputStream("log." + name)); }

    public static void main(String[] none) throws Exception {
        System.out.println("Java GZIPInputStream: " + new String(new java.util.zip.GZIPInputStream(file("gz")).readAllBytes()));
        System.out.println("zstd-jni: " + new String(new com.github.luben.zstd.ZstdInputStream(file("zst")).readAllBytes()));
        for (String[] kind : new String[][] {{"zstd", "zst"}, {"gz", "gz"}, {"bzip2", "bz2"}, {"xz", "xz"}, {"lz4-framed", "lz4"}})
            System.out.println("commons-compress " + kind[0] + ": "
                + new String(new CompressorStreamFactory().createCompressorInputStream(kind[0], file(kind[1])).readAllBytes()));
    }
}
JAVA
cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.commons</groupId><artifactId>commons-compress</artifactId><version>1.28.0</version></dependency>
    <dependency><groupId>com.github.luben</groupId><artifactId>zstd-jni</artifactId><version>1.5.7-6</version></dependency>
    <dependency><groupId>org.tukaani</groupId><artifactId>xz</artifactId><version>1.10</version></dependency>
  </dependencies>
</project>
XML
mkdir -p rust/src
cat > rust/Cargo.toml <<'TOML'
[package]
name = "read"
version = "0.0.0"
edition = "2021"
[dependencies]
flate2 = "=1.1.11"
ruzstd = "=0.8.3"
lz4_flex = "=0.12.3"
bzip2-rs = "=0.1.2"
[profile.dev]
debug = false
TOML
cat > rust/src/main.rs <<'RS'
use std::{fs::File, io::{BufReader, Read}};

fn file(kind: &str) -> BufReader<File> {
    BufReader::new(File::open(format!("log.{kind}")).unwrap())
}

fn tell(name: &str, mut from: impl Read) {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    println!("{name}: {text}");
}

fn main() {
    tell("flate2 MultiGzDecoder", flate2::read::MultiGzDecoder::new(file("gz")));
    tell("flate2 GzDecoder", flate2::read::GzDecoder::new(file("gz")));
    tell("ruzstd", ruzstd::decoding::StreamingDecoder::new(file("zst")).unwrap());
    tell("lz4_flex", lz4_flex::frame::FrameDecoder::new(file("lz4")));
    tell("bzip2-rs", bzip2_rs::DecoderReader::new(file("bz2")));
}
RS
npm install --silent --no-fund --no-audit fflate@0.8.3 lz4js@0.2.0 fzstd@0.1.1
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
(cd rust && cargo build --quiet --target-dir target) >cargo.log 2>&1 || { cat cargo.log >&2; exit 1; }

venv/bin/python write.py
echo "zstandard 0.25.0, lz4 4.4.5, fflate 0.8.3, lz4js 0.2.0, commons-compress 1.28.0, flate2 1.1.11, ruzstd 0.8.3, lz4_flex 0.12.3, bzip2-rs 0.1.2"
seen=$(echo "gzip: $(gzip -dc log.gz)"; venv/bin/python read.py; node read.cjs; java -cp 'jars/*' Read.java; rust/target/debug/read)
echo "$seen"
all="before and after the restart"
[ "$seen" = "gzip: $all
Python gzip: $all
Python bz2: $all
Python lzma: $all
pyzstd: $all
zstandard stream_reader: $all
zstandard copy_stream: $all
zstandard decompress: before
zstandard read_to_iter: before
lz4.frame.open: $all
lz4.frame.decompress: before
Node.js gunzip: $all
fzstd: $all
fflate gunzip: before
lz4js: before
Java GZIPInputStream: $all
zstd-jni: $all
commons-compress zstd: $all
commons-compress gz: before
commons-compress bzip2: before
commons-compress xz: before
commons-compress lz4-framed: before
flate2 MultiGzDecoder: $all
flate2 GzDecoder: before
ruzstd: before
lz4_flex: before
bzip2-rs: before" ] || changed "other parts are read"
echo "as described"

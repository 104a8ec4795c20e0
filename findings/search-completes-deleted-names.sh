#!/usr/bin/env bash
# Tools: Lucene 9.12.3 (Java), tantivy 0.27.0 and Whoosh-Reloaded 2.7.5 (Python), Bleve 2.6.3 (Go), an index of 300 transcripts of which one, the only
#   one with a certain name, is deleted.
# Expected: after the deletion was committed nobody is led to the name; Lucene's forceMergeDeletes ("purges all deleted documents") makes sure.
# Happens: no search finds the transcript, and every list of words has the name as before: completion by prefix (tantivy, Bleve, Whoosh), "did
#   you mean" for a misspelt one (Lucene, Whoosh), the number of documents with it. forceMergeDeletes does nothing as long as less than a tenth
#   of a segment is deleted. Opening the index again does not help. Lucene's forceMerge(1) and Whoosh's `optimize` do.
# Hurts: the search box of the desk offers the name of an erased patient to whoever types its first letters, and tells that there was a call; the
#   words are on disk and in the copies of the index.
# Instead: after an erasure merge all segments (Lucene: forceMerge(1), or a merge policy with forceMergeDeletesPctAllowed of 0), where the library
#   has no way for that build the index anew; take completions from the documents found, not from the dictionary.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tantivy==0.27.0 Whoosh-Reloaded==2.7.5
cat > search.py <<'PY'
import os, tantivy, whoosh.index
from whoosh.fields import ID, TEXT, Schema
from whoosh.qparser import QueryParser

texts = {str(n): "my name is Zyxwvut" if n == 7 else f"call {n} about the bill" for n in range(300)}

os.mkdir("tantivy")
builder = tantivy.SchemaBuilder()
builder.add_text_field("id", stored=True, tokenizer_name="raw")
builder.add_text_field("text", stored=True)
index = tantivy.Index(builder.build(), path="tantivy")
writer = index.writer(num_threads=1)
for key, text in texts.items():
    writer.add_document(tantivy.Document(id=key, text=text))
writer.commit()
writer.delete_documents_by_term("id", "7")
writer.commit()
writer.garbage_collect_files()
writer.wait_merging_threads()
index = tantivy.Index.open("tantivy")
searcher = index.searcher()
print("tantivy, deleted: found", searcher.search(index.parse_query("zyxwvut", ["text"])).count, "| documents with it", searcher.doc_freq("text", "zyxwvut"),
      "| zyx…", " ".join(term if isinstance(term, str) else term[0] for term in searcher.terms_with_prefix("text", "zyx")) or "nothing")

os.mkdir("whoosh")
index = whoosh.index.create_in("whoosh", Schema(id=ID(stored=True, unique=True), text=TEXT(stored=True)))
writer = index.writer()
for key, text in texts.items():
    writer.add_document(id=key, text=text)
writer.commit()
def tell(when):
    with whoosh.index.open_dir("whoosh").searcher() as searcher:
        words = [word.decode() for word in searcher.reader().expand_prefix("text", "zyx")]
        print(f"Whoosh, {when}: found", len(searcher.search(QueryParser("text", index.schema).parse("zyxwvut"))), "| zyx…", " ".join(words) or "nothing",
              "| instead of zyxwvux", " ".join(searcher.suggest("text", "zyxwvux")) or "nothing")
writer = index.writer()
writer.delete_by_term("id", "7")
writer.commit()
tell("deleted")
index.optimize()
tell("optimize")
PY
cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>search</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.lucene</groupId><artifactId>lucene-suggest</artifactId><version>9.12.3</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1 || { cat mvn.log >&2; exit 1; }
cat > Search.java <<'JAVA'
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Collectors;
import org.apache.lucene.analysis.standard.StandardAnalyzer;
import org.apache.lucene.document.*;
import org.apache.lucene.index.*;
import org.apache.lucene.search.*;
import org.apache.lucene.search.spell.*;
import org.apache.lucene.store.*;

public class Search {
    static void tell(Directory folder, String when) throws Exception {
        try (DirectoryReader reader = DirectoryReader.open(folder)) {
            Term name = new Term("text", "zyxwvut");
            String offered = Arrays.stream(new DirectSpellChecker().suggestSimilar(new Term("text", "zyxwvux"), 3, reader)).map(word -> word.string).collect(Collectors.joining(" "));
            System.out.println("Lucene, " + when + ": found " + new IndexSearcher(reader).count(new TermQuery(name)) + " | documents with it " + reader.docFreq(name)
                + " | instead of zyxwvux " + (offered.isEmpty() ? "nothing" : offered));
        }
    }

    public static void main(String[] none) throws Exception {
        Directory folder = FSDirectory.open(Path.of("lucene"));
        try (IndexWriter writer = new IndexWriter(folder, new IndexWriterConfig(new StandardAnalyzer()))) {
            for (int n = 0; n < 300; n++) {
                Document document = new Document();
                document.add(new StringField("id", "" + n, Field.Store.YES));
                document.add(new TextField("text", n == 7 ? "my name is Zyxwvut" : "call " + n + " about the bill", Field.Store.YES));
                writer.addDocument(document);
            }
            writer.commit();
            writer.deleteDocuments(new Term("id", "7"));
            writer.commit();
            tell(folder, "deleted");
            writer.forceMergeDeletes();
            writer.commit();
            tell(folder, "forceMergeDeletes");
            writer.forceMerge(1);
            writer.commit();
            tell(folder, "forceMerge(1)");
        }
    }
}
JAVA
mkdir go
cat > go/main.go <<'GO'
package main

import (
	"fmt"
	"strconv"

	"github.com/blevesearch/bleve/v2"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	index, err := bleve.New("bleve", bleve.NewIndexMapping())
	check(err)
	batch := index.NewBatch()
	for n := 0; n < 300; n++ {
		text := fmt.Sprintf("call %d about the bill", n)
		if n == 7 {
			text = "my name is Zyxwvut"
		}
		check(batch.Index(strconv.Itoa(n), map[string]string{"text": text}))
	}
	check(index.Batch(batch))
	check(index.Delete("7"))
	check(index.Close())
	index, err = bleve.Open("bleve")
	check(err)
	result, err := index.Search(bleve.NewSearchRequest(bleve.NewMatchQuery("zyxwvut")))
	check(err)
	words, err := index.FieldDictPrefix("text", []byte("zyx"))
	check(err)
	fmt.Print("Bleve, deleted: found ", result.Total, " | zyx…")
	for {
		word, err := words.Next()
		check(err)
		if word == nil {
			break
		}
		fmt.Print(" ", word.Term, ", documents with it ", word.Count)
	}
	fmt.Println()
}
GO
(cd go && go mod init search && go get github.com/blevesearch/bleve/v2@v2.6.3 && go mod tidy && go build -o ../search .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
java -version 2>&1 | head -n 1
seen=$(java -cp 'lib/*' Search.java 2>java.log; venv/bin/python search.py; ./search)
echo "$seen"
[ "$seen" = "Lucene, deleted: found 0 | documents with it 1 | instead of zyxwvux zyxwvut
Lucene, forceMergeDeletes: found 0 | documents with it 1 | instead of zyxwvux zyxwvut
Lucene, forceMerge(1): found 0 | documents with it 0 | instead of zyxwvux nothing
tantivy, deleted: found 0 | documents with it 1 | zyx… zyxwvut
Whoosh, deleted: found 0 | zyx… zyxwvut | instead of zyxwvux zyxwvut
Whoosh, optimize: found 0 | zyx… nothing | instead of zyxwvux nothing
Bleve, deleted: found 0 | zyx… zyxwvut, documents with it 1" ] || changed "other words are offered"
echo "as described"

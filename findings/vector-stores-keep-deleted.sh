#!/usr/bin/env bash
# Tools: chromadb 1.5.9, lancedb 0.40.0, qdrant-client 1.20.0 with its local store (Python), each in a folder of its own.
# Expected: a transcript that was deleted by its id is gone from the folder once the store is tidied (optimize, cleanup) or closed.
# Happens: qdrant's local store: gone. chromadb: text and metadata stay in its SQLite file, also after 300 more calls were added and
#   after the whole collection was deleted; only the command `chroma vacuum`, with the server stopped, removes them. lancedb: text stays
#   after `optimize`, and after `optimize(cleanup_older_than=0)` too: that drops old versions, and files with few deleted rows are not rewritten.
# Hurts: search by meaning over transcripts is where erased callers are forgotten last: the store answers as if they were gone, and the folder and
#   each backup of it hold their words.
# Instead: chromadb: vacuum after erasures. lancedb: write the rows that remain into a new table and drop the old one. Count an erasure
#   as done when a search through the bytes finds nothing; or keep ids and vectors only, and texts where they can be erased.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME="$work" ANONYMIZED_TELEMETRY=False
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check chromadb==1.5.9 lancedb==0.40.0 qdrant-client==1.20.0
cat > erase.py <<'PY'
import datetime, os, subprocess, sys
store = sys.argv[1]
erased = "my name is Zyxwvut and I have diabetes"
calls = [(n, f"call {n} about the bill", [n / 600, 1 - n / 600]) for n in range(600)]

def tell(when):
    kept = any(b"Zyxwvut" in open(os.path.join(folder, name), "rb").read() for folder, _, names in os.walk(store) for name in names)
    print(f"{store}, {when}: the name is {'in the folder' if kept else 'gone'}")

if store == "chromadb":
    import chromadb
    client = chromadb.PersistentClient(store)
    table = client.create_collection("calls", embedding_function=None)
    def add(rows):
        table.add(ids=[str(n) for n, _, _ in rows], documents=[text for _, text, _ in rows], embeddings=[vector for _, _, vector in rows])
    add(calls[:300] + [(1000, erased, [0.1, 0.2])])
    table.delete(ids=["1000"])
    tell("deleted")
    add(calls[300:])
    tell("300 calls later")
    client.delete_collection("calls")
    tell("collection deleted")
    del table, client
    subprocess.run(["venv/bin/chroma", "vacuum", "--path", store, "--force"], check=True, stdout=subprocess.DEVNULL)
    tell("after chroma vacuum")
elif store == "lancedb":
    import lancedb
    table = lancedb.connect(store).create_table("calls", [{"id": n, "text": text, "vector": vector} for n, text, vector in calls + [(1000, erased, [0.1, 0.2])]])
    table.delete("id = 1000")
    tell("deleted")
    table.optimize()
    tell("after optimize")
    table.optimize(cleanup_older_than=datetime.timedelta(0))
    tell("after optimize(cleanup_older_than=0)")
else:
    from qdrant_client import QdrantClient, models
    client = QdrantClient(path=store)
    client.create_collection("calls", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    client.upsert("calls", [models.PointStruct(id=n, vector=vector, payload={"text": text}) for n, text, vector in calls + [(1000, erased, [0.1, 0.2])]])
    client.delete("calls", models.PointIdsList(points=[1000]))
    client.close()
    tell("deleted and closed")
PY
seen=$(for store in chromadb lancedb qdrant; do venv/bin/python erase.py "$store" 2>"$store.log"; done)
echo "$seen"
[ "$seen" = "chromadb, deleted: the name is in the folder
chromadb, 300 calls later: the name is in the folder
chromadb, collection deleted: the name is in the folder
chromadb, after chroma vacuum: the name is gone
lancedb, deleted: the name is in the folder
lancedb, after optimize: the name is in the folder
lancedb, after optimize(cleanup_older_than=0): the name is in the folder
qdrant, deleted and closed: the name is gone" ] || changed "other words stay"
echo "as described"

#!/usr/bin/env bash
# Tools: requests-cache 1.3.3, hishel 2.0.0, cachelib 0.17.0 (what Flask-Caching and Flask-Session keep in files), dogpile.cache 1.5.0, Beaker 1.14.1, Django 5.2.19
#   (its cache in files) and diskcache 5.6.3 (Python): a patient's record, asked of another service, that may be kept for two seconds.
# Expected: a value whose time is over is deleted, if not at once then with the next values that are stored, or when the program starts anew.
# Happens: in all seven what nobody asks for again stays in its file, in clear, after a hundred others were stored and after a new start. What ends it one day
#   is, by their documentation, a limit of size or a sweep now and then, where there is one.
# Hurts: of a caller who never calls again the record stays on the disk of every web server, in its volumes and backups, with a period of two seconds
#   written beside it; who counts what is stored by its period leaves the caches out.
# Instead: run a sweep of your own (tried: requests-cache's `cache.delete(expired=True)` leaves nothing), keep such caches in memory or in an emptyDir that goes with
#   the pod, and let the erasure of a person delete their keys.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check requests-cache==1.3.3 hishel[requests]==2.0.0 cachelib==0.17.0 dogpile.cache==1.5.0 Beaker==1.14.1 diskcache==5.6.3 Django==5.2.19
cat > caches.py <<'PY'
import contextlib, http.server, os, sqlite3, threading, time, zlib

NAME = b"Zyxwvutsr"

class Record(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"patient": "%s"}' % (NAME if self.path.endswith("/1") else b"somebody else")
        self.send_response(200)
        for header in (("Content-Type", "application/fhir+json"), ("Cache-Control", "max-age=2"), ("Content-Length", str(len(body)))):
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Record)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_address[1]}/Patient/"

def requests_cache(folder):
    import requests_cache as library
    session = library.CachedSession(folder + "/cache", expire_after=2)
    return lambda n: session.get(address + str(n)).content

def hishel(folder):
    import hishel as library, requests
    from hishel.requests import CacheAdapter
    session = requests.Session()
    session.mount("http://", CacheAdapter(storage=library.SqliteStorage(database_path=folder + "/cache.db", default_ttl=2)))
    return lambda n: session.get(address + str(n)).content

def keep(put, get):
    def ask(n):
        if (value := get(f"patient-{n}")) is None:
            put(f"patient-{n}", value := NAME.decode() if n == 1 else "somebody else")
        return value
    return ask

def cachelib(folder):
    from cachelib import FileSystemCache
    cache = FileSystemCache(folder, default_timeout=2)
    return keep(cache.set, cache.get)

def dogpile(folder):
    from dogpile.cache import make_region
    region = make_region().configure("dogpile.cache.dbm", expiration_time=2, arguments={"filename": folder + "/cache.dbm"})
    return keep(region.set, lambda key: region.get(key) or None)

def beaker(folder):
    from beaker.cache import CacheManager
    cache = CacheManager(type="file", data_dir=folder, lock_dir=folder).get_cache("patients", expire=2)
    return keep(cache.put, lambda key: cache.get(key) if key in cache else None)

def django(folder):
    from django.core.cache.backends.filebased import FileBasedCache
    cache = FileBasedCache(folder, {"TIMEOUT": 2})
    return keep(cache.set, cache.get)

def diskcache(folder):
    from diskcache import Cache
    cache = Cache(folder)
    return keep(lambda key, value: cache.set(key, value, expire=2), cache.get)

def held(folder):
    """Where the name still is: in what the cache keeps, in bytes that nothing refers to any more, or nowhere."""
    left = "gone"
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                data = file.read()
            if data.startswith(b"SQLite format 3"):
                with contextlib.closing(sqlite3.connect(path)) as base:
                    tables = [row[0] for row in base.execute("select name from sqlite_master where type = 'table'")]
                    rows = [repr(row) for table in tables for row in base.execute(f"select * from {table}")]
                if any(NAME.decode() in row for row in rows):
                    return "kept"
                if NAME in data:
                    left = "in free pages"
            elif NAME in data or b"x\x9c" in data and NAME in zlib.decompress(data[data.index(b"x\x9c"):]):
                return "kept"
    return left

for make in (requests_cache, hishel, cachelib, dogpile, beaker, django, diskcache):
    folder = os.path.abspath("cache-" + make.__name__)
    os.mkdir(folder)
    ask = make(folder)
    ask(1)
    if held(folder) != "kept":
        raise SystemExit(f"{make.__name__} does not keep it")
    time.sleep(3)
    for n in range(2, 102):
        ask(n)
    later = held(folder)
    time.sleep(3)
    make(folder)(2)
    print(f"{make.__name__}: a hundred others later {later}, started anew {held(folder)}", flush=True)
import requests_cache as library
library.CachedSession("cache-requests_cache/cache").cache.delete(expired=True)
print("requests_cache: after delete(expired=True)", held("cache-requests_cache"))
PY
venv/bin/python -VV | cut -d ' ' -f 1,2
seen=$(venv/bin/python caches.py)
echo "$seen"
[ "$seen" = "requests_cache: a hundred others later kept, started anew kept
hishel: a hundred others later kept, started anew kept
cachelib: a hundred others later kept, started anew kept
dogpile: a hundred others later kept, started anew kept
beaker: a hundred others later kept, started anew kept
django: a hundred others later kept, started anew kept
diskcache: a hundred others later kept, started anew kept
requests_cache: after delete(expired=True) gone" ] || changed "other values stay"
echo "as described"

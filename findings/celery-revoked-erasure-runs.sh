#!/usr/bin/env bash
# Tool: Celery 5.7.0 (Python) with Redis 7.0.15 (Debian 12, unpacked, not installed): the erasure of a call is planned for a time (`eta`), and called off
#   (`revoke`, `purge`) before, as a legal hold does, or as a reminder by SMS is called off when the patient objects.
# Expected: what was revoked does not run, whatever happens to the workers meanwhile; a purge of the queue takes what is planned out of it, as it "discards all
#   waiting tasks"; if nobody took note of a revocation, it is an error.
# Happens: a planned task sits in the memory of a worker, and the revocation in the memory of each worker that is running now. After a restart of the worker the task comes
#   back and runs, and the revocation is gone, though the result said REVOKED meanwhile. Revoked while no worker runs: nobody takes note, no error, it runs.
#   `purge` says that 0 were removed and leaves it. With `--statedb` on a disk that survives, the first does not run; the second does all the same.
# Hurts: a record under legal hold is destroyed on the planned day, as a rollout or a full node restarted the pod; a message goes to whoever said no.
# Instead: have the task ask the record, when it runs, whether it still may (a hold, an objection); plan by a table that a job reads each hour, not by `eta`; for
#   revocations mount a volume for `--statedb`, and look at `inspect revoked` after each: no answer means that nobody knows.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    redis-server >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'celery[redis]==5.7.0' packaging
LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" root/usr/bin/redis-server --bind 127.0.0.1 --port 0 --unixsocket "$work/redis" --save "" >redis.log 2>&1 &
server=$!
for _ in $(seq 100); do [ ! -S redis ] || break; sleep 0.1; done
grep -o 'Redis version=[0-9.]*' redis.log
venv/bin/celery --version
cat > jobs.py <<'PY'
import os
from celery import Celery
place = "redis+socket://" + os.getcwd() + "/redis"
app = Celery("jobs", broker=place, backend=place)
app.conf.broker_connection_retry_on_startup = True

@app.task
def erase(call):
    with open("erased", "a") as file:
        file.write(call + "\n")
PY
cat > plan.py <<'PY'
import subprocess, time
from datetime import datetime, timedelta, timezone
from celery.result import AsyncResult
from jobs import app, erase

def start(*more):
    with open("worker.log", "a") as log:
        worker = subprocess.Popen(["venv/bin/celery", "-A", "jobs", "worker", "--pool", "solo", *more], stdout=log, stderr=log)
    while not app.control.ping(timeout=1):
        pass
    return worker

def stop(worker):
    worker.terminate()
    worker.wait()

def plan(call, seconds):
    return erase.apply_async([call], eta=datetime.now(timezone.utc) + timedelta(seconds=seconds))

def taken():  # planned tasks that the worker has in its memory
    return [task["request"]["args"][0] for tasks in (app.control.inspect(timeout=2).scheduled() or {}).values() for task in tasks]

def until(condition):
    for _ in range(120):
        if condition():
            return
        time.sleep(1)
    raise SystemExit("nothing happens")

def outcome(name, call):
    plan("last after " + call, 0)
    until(lambda: "last after " + call in open("erased").read().splitlines())
    print(f"{name}: {'ERASED' if call in open('erased').read().splitlines() else 'not erased'}")

def due(moment):
    time.sleep(max(0, moment - time.monotonic()))

open("erased", "w").close()
worker = start()
task, moment = plan("call 1", 20), time.monotonic() + 25
until(lambda: "call 1" in taken())
task.revoke()
until(lambda: any(app.control.inspect(timeout=2).revoked().values()))
due(moment)
outcome("revoked, the worker runs on", "call 1")

task, moment = plan("call 2", 60), time.monotonic() + 65
until(lambda: "call 2" in taken())
task.revoke()
until(lambda: task.id in sum(app.control.inspect(timeout=2).revoked().values(), []))
stop(worker)
worker = start()
until(lambda: "call 2" in taken())
print("after the restart the worker knows of revocations:", any(app.control.inspect(timeout=2).revoked().values()))
purged = plan("call 3", 45)
until(lambda: "call 3" in taken())
print("purge says that it removed", app.control.purge())
due(moment)
outcome("revoked, the worker was restarted", "call 2")
outcome("purged", "call 3")
stop(worker)

task, moment = plan("call 4", 40), time.monotonic() + 45
print("revoked while no worker runs: answers", task.revoke())
worker = start("--statedb", "state")
until(lambda: "call 4" in taken())
due(moment)
outcome("revoked while no worker ran, --statedb", "call 4")

task, moment = plan("call 5", 60), time.monotonic() + 65
until(lambda: "call 5" in taken())
task.revoke()
until(lambda: task.id in sum(app.control.inspect(timeout=2).revoked().values(), []))
stop(worker)
worker = start("--statedb", "state")
due(moment)
outcome("revoked, the worker was restarted, --statedb", "call 5")
stop(worker)
PY
seen=$(venv/bin/python plan.py 2>plan.log) || { tail -5 plan.log >&2; exit 1; }
echo "$seen"
[ "$seen" = 'revoked, the worker runs on: not erased
after the restart the worker knows of revocations: False
purge says that it removed 0
revoked, the worker was restarted: ERASED
purged: ERASED
revoked while no worker runs: answers None
revoked while no worker ran, --statedb: ERASED
revoked, the worker was restarted, --statedb: not erased' ] || changed "others are erased"
echo "as described"

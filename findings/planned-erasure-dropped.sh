#!/usr/bin/env bash
# Tools: APScheduler 3.11.3 (jobs in SQLite), Huey 3.5.4 (SQLite), arq 0.28.0 and rq 3.0.0 (Redis 7.0.15 of Debian 12, unpacked, not installed): the erasure of
#   a call is planned for a time, in a store that outlives the program.
# Expected: what was due while no worker ran is done by the next one, as late as it is; what a worker does not know, since it is an older release, or a
#   script for maintenance without the module, stays planned, or is kept as failed.
# Happens: APScheduler takes a job that is more than one second late out of its store, with a warning in the log. A program that lacks the function
#   and asks for the list of jobs (`get_jobs`) deletes all of them, those due in 20 years too ("Unable to restore job … -- removing it" in jobstores/sqlalchemy.py).
#   arq drops a job that is a day late (shortened to two seconds here: the key of the job ends by itself, `expires_extra_ms`), and each one whose
#   function the worker does not know. Huey does late ones, and loses those whose function it does not know (`_deserialize_all`). Only rq keeps these as failed.
# Hurts: after a weekend without workers, or an hour with the release of before, erasures that were promised are planned nowhere, and nothing is left that could
#   be counted; the records stay for good.
# Instead: keep the day of erasure with the record, and have a job that comes each hour ask for all that are due; where a library must plan, set
#   `misfire_grace_time=None` (APScheduler) or a long `_expires` (arq), and compare the plan with the records regularly.
# Takes: about five minutes.
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
venv/bin/pip install --quiet --disable-pip-version-check APScheduler==3.11.3 SQLAlchemy==2.1.9 huey==3.5.4 arq==0.28.0 rq==3.0.0
LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" root/usr/bin/redis-server --bind 127.0.0.1 --port 0 --unixsocket "$work/redis" --save "" >redis.log 2>&1 &
server=$!
for _ in $(seq 300); do [ ! -S redis ] || break; sleep 0.1; done
grep -o 'Redis version=[0-9.]*' redis.log
venv/bin/pip list 2>/dev/null | grep -Ei '^(apscheduler|huey|arq|rq) '

mkdir release
cat >release/erasures.py <<'PY'
def erase(call):
    with open("erased", "a") as file:
        file.write(call + "\n")

async def erase_in_arq(context, call):
    erase(call)
PY
cat >plan.py <<'PY'
import asyncio, os, sqlite3, sys, time
from datetime import datetime, timedelta, timezone

library, step, call = sys.argv[1:4]
options = sys.argv[4:]
try:
    import erasures
except ImportError:
    erasures = None

def soon():
    return datetime.now(timezone.utc) + timedelta(seconds=1)

def erased():
    return os.path.exists("erased") and call in open("erased").read().split()

def tell(left):
    print(f"erased {'yes' if erased() else 'no'}, planned or kept {left}")

def wait():
    for _ in range(80):
        if erased():
            break
        time.sleep(0.1)

def apscheduler():
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler
    scheduler = BackgroundScheduler(jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{call}.db")}, timezone=timezone.utc)
    scheduler.start(paused=step != "work")
    if step == "plan":
        due = soon().replace(year=soon().year + 20, day=1) if "years" in options else soon()
        grace = {"misfire_grace_time": None} if "grace" in options else {}
        scheduler.add_job("erasures:erase", "date", run_date=due, args=[call], id=call, **grace)
    elif step == "work":
        wait()
    elif step == "look":
        scheduler.get_jobs()
    scheduler.shutdown()
    return sqlite3.connect(f"{call}.db").execute("SELECT count(*) FROM apscheduler_jobs").fetchone()[0]

def huey():
    from huey import SqliteHuey
    queue = SqliteHuey("erasures", filename=f"{call}.db")
    if erasures:
        task = queue.task(name="erase")(erasures.erase)
    if step == "plan":
        task.schedule((call,), delay=1)
    else:
        consumer = queue.create_consumer(workers=1, periodic=False)
        consumer.start()
        wait()
        consumer.stop(graceful=True)
    return queue.scheduled_count() + queue.pending_count()

def arq():
    from arq import create_pool
    from arq.connections import RedisSettings
    from arq.worker import Worker, func
    settings = RedisSettings(unix_socket_path=os.getcwd() + "/redis")
    async def go():
        extra = {"expires_extra_ms": 2000} if "short" in options else {}
        pool = await create_pool(settings, default_queue_name=call, **extra)
        if step == "plan":
            await pool.enqueue_job("erase", call, _job_id=call, _defer_until=soon())
            if not extra:
                print("  kept by arq for a day and a second:", 86390 <= await pool.pttl("arq:job:" + call) / 1000 <= 86401)
        else:
            async def other(context):
                pass
            known = [func(erasures.erase_in_arq, name="erase")] if erasures else [func(other, name="other")]
            worker = Worker(known, redis_pool=pool, queue_name=call, burst=True, handle_signals=False)
            await worker.main()
        return await pool.exists("arq:job:" + call) + await pool.zcard(call)
    return asyncio.run(go())

def rq():
    from redis import Redis
    from rq import Queue, SimpleWorker
    connection = Redis(unix_socket_path=os.getcwd() + "/redis")
    queue = Queue(call, connection=connection)
    if step == "plan":
        queue.enqueue_at(soon(), "erasures.erase", call, job_id=call)
    else:
        for failed in queue.failed_job_registry.get_job_ids():
            queue.failed_job_registry.requeue(failed)
        SimpleWorker([queue], connection=connection).work(burst=True, with_scheduler=True, logging_level="ERROR")
    return queue.scheduled_job_registry.count + queue.failed_job_registry.count + queue.count

left = {"apscheduler": apscheduler, "huey": huey, "arq": arq, "rq": rq}[library]()
if step == "work":
    tell(left)
else:
    assert step != "plan" or left == (2 if library == "arq" else 1), left
PY
now() { PYTHONPATH="$work/release" venv/bin/python -W ignore plan.py "$@" 2>>plan.log || { tail -n 5 plan.log >&2; changed "an example fails"; }; }
before() { venv/bin/python -W ignore plan.py "$@" 2>>plan.log || { tail -n 5 plan.log >&2; changed "an example fails"; }; }
late() { now "$1" plan "$2" "${@:3}"; sleep 5; now "$1" work "$2"; }
unknown() { now "$1" plan "$2"; sleep 3; before "$1" "$3" "$2" >/dev/null; now "$1" work "$2"; }
examples() {
    echo "due while no worker ran:"
    echo "  apscheduler: $(late apscheduler late-a)"
    echo "  apscheduler without an end of grace: $(late apscheduler late-b grace)"
    echo "  huey: $(late huey late-c)"
    late arq late-d | sed '$s/^/  arq: /'
    echo "  arq past its end: $(late arq late-e short)"
    echo "  rq: $(late rq late-f)"
    echo "met by a release without the function, then by the right one:"
    now apscheduler plan unknown-a years
    echo "  apscheduler, due in 20 years, looked at by the right one: $(now apscheduler plan unknown-b years; now apscheduler look unknown-b; rows unknown-b)"
    before apscheduler look unknown-a
    echo "  apscheduler, due in 20 years, looked at by the other: $(rows unknown-a)"
    echo "  huey: $(unknown huey unknown-c work)"
    unknown arq unknown-d work | sed '$s/^/  arq: /'
    echo "  rq: $(unknown rq unknown-f work)"
}
rows() { python3 -c 'import sqlite3, sys; print("planned", sqlite3.connect(sys.argv[1] + ".db").execute("SELECT count(*) FROM apscheduler_jobs").fetchone()[0])' "$1"; }
seen=$(examples)
echo "$seen"
[ "$seen" = "due while no worker ran:
  apscheduler: erased no, planned or kept 0
  apscheduler without an end of grace: erased yes, planned or kept 0
  huey: erased yes, planned or kept 0
  kept by arq for a day and a second: True
  arq: erased yes, planned or kept 0
  arq past its end: erased no, planned or kept 0
  rq: erased yes, planned or kept 0
met by a release without the function, then by the right one:
  apscheduler, due in 20 years, looked at by the right one: planned 1
  apscheduler, due in 20 years, looked at by the other: planned 0
  huey: erased no, planned or kept 0
  kept by arq for a day and a second: True
  arq: erased no, planned or kept 0
  rq: erased yes, planned or kept 0" ] || changed "other erasures are dropped"
echo "as described"

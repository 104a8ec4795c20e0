#!/usr/bin/env bash
# Tool: BullMQ 6.7.0 (Node.js, a queue of jobs in Redis; ioredis 5.11.1), beside bee-queue 2.0.0, with Redis 7.0.15 (Debian 12:
#   5:7.0.15-1~deb12u10, unpacked, not installed).
# Expected: with `removeOnComplete: true` and `removeOnFail: true` nothing of a job is left in Redis once it is done; in any case after clean(), drain(),
#   and job.remove().
# Happens: what the worker returned (the transcript), why it failed (the message of the error, here with the name of the patient) and each
#   progress that it told stay in clear in the stream `bull:NAME:events`, which is trimmed at about 10,000 entries and by no time. All three
#   calls leave it, each adds to it instead; a reader of events with `lastEventId: "0"` is handed all of it. Each job adds five to eight
#   entries, so that a queue of a hundred calls a day holds the texts of two or three weeks. The data of the job are not in it. bee-queue, which tells
#   the same by publishing, leaves nothing.
# Why: moveToFinished writes returnvalue and failedReason to the stream (XADD), as updateProgress does, and only maxLenEvents (10,000) bounds it.
# Hurts: transcripts outlive their retention, and the erasure of a person who is then told that nothing is held; they are in each snapshot and
#   backup of Redis.
# Instead: return nothing from the worker, store the text elsewhere and throw errors without personal details; `streams: { events: { maxLen: 0 } }` if nobody listens,
#   or `queue.trimEvents(0)` after the job; look into Redis after an erasure (XRANGE bull:NAME:events - +).
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    redis-server=5:7.0.15-1~deb12u10 >apt.log 2>&1 || { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
LD_LIBRARY_PATH="$(echo "$work"/root/usr/lib/*-linux-gnu)" root/usr/bin/redis-server --bind 127.0.0.1 --port 0 --unixsocket "$work/redis" --save "" >redis.log 2>&1 &
npm install --silent --no-audit --no-fund bullmq@6.7.0 ioredis@5.11.1 bee-queue@2.0.0
for _ in $(seq 100); do [ ! -S redis ] || break; sleep 0.1; done
cat > calls.js <<'JS'
const { Queue, QueueEvents, Worker } = require("bullmq");
const Redis = require("ioredis");
const Bee = require("bee-queue");

const open = [];
const redis = () => {
  const client = new Redis(process.argv[2], { maxRetriesPerRequest: null });
  open.push(client);
  return client;
};
const text = { text: "my diabetes is worse" };

// Every value in Redis, whatever its type.
async function holds(client, words) {
  let all = "";
  for (const key of await client.keys("*")) {
    const type = await client.type(key);
    const value = {
      stream: () => client.xrange(key, "-", "+"), hash: () => client.hgetall(key), string: () => client.get(key),
      list: () => client.lrange(key, 0, -1), set: () => client.smembers(key), zset: () => client.zrange(key, 0, -1),
    }[type];
    all += JSON.stringify(await value());
  }
  return words.filter((word) => all.includes(word)).join(", ") || "nothing";
}
const all = ["diabetes", "Muster", "asthma", "+43 1 5550100"];

(async () => {
  const look = redis();
  const work = async (queue, label) => {
    const worker = new Worker("transcribe", async (job) => {
      if (job.name === "broken") throw new Error("no speech in the call of Erika Muster");
      if (job.name === "long") await job.updateProgress({ so_far: "my asthma" });
      return job.name === "call" ? text : undefined;
    }, { connection: redis() });
    const events = new QueueEvents("transcribe", { connection: redis() });
    await Promise.all([events.waitUntilReady(), worker.waitUntilReady()]);
    for (const name of ["call", "broken", "long"]) {
      const job = await queue.add(name, { from: "+43 1 5550100" });
      await job.waitUntilFinished(events).catch(() => {});
    }
    await worker.close();
    await events.close();
    console.log(`${label}: ${(await queue.getJobs()).length} jobs, Redis holds ${await holds(look, all)}`);
  };
  const options = { connection: redis(), defaultJobOptions: { removeOnComplete: true, removeOnFail: true } };

  const queue = new Queue("transcribe", options);
  await queue.waitUntilReady();
  await work(queue, "removeOnComplete and removeOnFail");
  await (await queue.add("call", {})).remove();
  for (const state of ["completed", "failed"]) await queue.clean(0, 1000, state);
  await queue.drain(true);
  console.log("after remove, clean and drain:", await holds(look, all));
  const late = new QueueEvents("transcribe", { connection: redis(), lastEventId: "0" });
  console.log("a new reader of events:", await new Promise((told) => late.on("completed", ({ returnvalue }) => told(JSON.stringify(returnvalue)))));
  await late.close();
  console.log("entries:", await look.xlen("bull:transcribe:events") >= 15 ? "5 or more for each job" : "fewer");
  await queue.trimEvents(0);
  console.log("after trimEvents(0):", await holds(look, all));
  await look.flushall();

  const short = new Queue("transcribe", { ...options, streams: { events: { maxLen: 0 } } });
  await short.waitUntilReady();
  await work(short, "with maxLen 0");
  await look.flushall();

  const kept = new Queue("transcribe", { connection: redis() });
  await kept.waitUntilReady();
  await work(kept, "kept jobs (control)");
  await look.flushall();

  const bee = new Bee("transcribe", { redis: { path: process.argv[2] }, removeOnSuccess: true, removeOnFailure: true });
  bee.process(async () => text);
  const told = new Promise((done) => bee.on("job succeeded", (_, result) => done(result.text)));
  await bee.ready();
  await bee.createJob({ from: "+43 1 5550100" }).save();
  console.log(`bee-queue: told "${await told}", Redis holds ${await holds(look, all)}`);
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
JS
grep -o 'Redis version=[0-9.]*' redis.log
seen=$(node calls.js "$work/redis")
echo "$seen"
[ "$seen" = 'removeOnComplete and removeOnFail: 0 jobs, Redis holds diabetes, Muster, asthma
after remove, clean and drain: diabetes, Muster, asthma
a new reader of events: {"text":"my diabetes is worse"}
entries: 5 or more for each job
after trimEvents(0): nothing
with maxLen 0: 0 jobs, Redis holds nothing
kept jobs (control): 3 jobs, Redis holds diabetes, Muster, asthma, +43 1 5550100
bee-queue: told "my diabetes is worse", Redis holds nothing' ] || changed "other things stay in Redis"
echo "as described"

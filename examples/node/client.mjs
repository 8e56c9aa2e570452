// What a program in Node needs of proglog.
//
//   node client.mjs calls ADDR                  each of the calls, once
//   node client.mjs produce ADDR COUNT          records "0" to "COUNT-1", each appended once whatever breaks
//   node client.mjs consume ADDR,ADDR... COUNT  that many records from the start, on from one agent to the next
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { columnsOf, encode, parse, token, values } from "./format.mjs";

const protos = fileURLToPath(new URL("../../proto", import.meta.url));
const files = ["log/v1/log.proto", "proglog/v1/batches.proto", "proglog/v1/cluster.proto"];
const loaded = loader.loadSync(files, { includeDirs: [protos], keepCase: true, longs: String, enums: String, defaults: true });
const { log, proglog } = grpc.loadPackageDefinition(loaded);
const options = { "grpc.keepalive_time_ms": 10_000, "grpc.keepalive_timeout_ms": 5_000 };
const IN_FLIGHT = 5; // batches of a producer that an agent remembers
const AGAIN = [grpc.status.UNAVAILABLE, grpc.status.CANCELLED, grpc.status.UNKNOWN, grpc.status.INTERNAL];

const open = (Service, addr) => new Service(addr, grpc.credentials.createInsecure(), options);
const call = (client, name, request) =>
  new Promise((resolve, reject) => client[name](request, (error, answer) => (error ? reject(error) : resolve(answer))));

async function calls(addr) {
  const [book, positions, cluster] = [log.v1.Log, proglog.v1.Positions, proglog.v1.Cluster].map((each) => open(each, addr));
  const { offset } = await call(book, "Produce", { record: { value: Buffer.from("from node") } });
  console.log("Log.Produce", offset);
  console.log("Log.Consume", (await call(book, "Consume", { offset })).record.value.toString());
  console.log("Log.GetServers", (await call(book, "GetServers", {})).servers.length);
  await produce(addr, 10);
  await consume([addr], 11);
  const status = await call(cluster, "GetStatus", {});
  console.log("Cluster.GetStatus", status.log.state);
  const watch = cluster.Watch({});
  for await (const snapshot of watch) {
    console.log("Cluster.Watch", snapshot.node.name);
    break;
  }
  const cursor = { positions: [{ origin: status.node.origin, next_sequence: 3 }] };
  await call(positions, "Commit", { name: "from node", cursor });
  const listed = await call(positions, "List", { name: "from node" });
  console.log("Positions.List", listed.positions[0].cursor.positions[0].next_sequence);
  await call(book, "Consume", { offset: 2 ** 40 }).catch((error) => console.log("an error", grpc.status[error.code]));
  for (const each of [book, positions, cluster]) each.close();
}

async function produce(addr, count) {
  const producerId = randomBytes(16);
  const batches = [];
  for (let start = 0; start < count; start += 10) {
    const list = Array.from({ length: Math.min(10, count - start) }, (_, at) => Buffer.from(String(start + at)));
    const now = Date.now();
    batches.push(encode(columnsOf(list), { count: list.length, firstMs: now, maxMs: now, producerId, epoch: 1, sequence: start }));
  }
  const progress = { answered: 0, log: undefined };
  while (progress.answered < batches.length) {
    const client = open(proglog.v1.Batches, addr);
    await send(client, batches, progress).catch((error) => {
      if (!AGAIN.includes(error.code)) throw error;
      return sleep(100);
    });
    client.close();
  }
}

function send(client, batches, progress) {
  return new Promise((resolve, reject) => {
    const stream = client.Produce();
    let sent = progress.answered;
    const more = () => {
      while (sent < batches.length && sent < progress.answered + IN_FLIGHT) stream.write({ batch: batches[sent++] });
    };
    stream.on("metadata", (metadata) => {
      const [taker] = metadata.get("proglog-log-bin");
      progress.log ??= taker;
      if (!taker?.equals(progress.log)) reject(new Error("another log answers: what was not acknowledged may be in the first one"));
      else more();
    });
    stream.on("data", () => {
      progress.answered++;
      if (progress.answered === batches.length) stream.end();
      else more();
    });
    stream.on("error", reject);
    stream.on("end", resolve);
  });
}

async function consume(addrs, count) {
  const cursor = new Map();
  let left = count;
  for (let tries = 0; left > 0; tries++) {
    const client = open(proglog.v1.Batches, addrs[tries % addrs.length]);
    const positions = [...cursor].map(([origin, next]) => ({ origin: Buffer.from(origin, "hex"), next_sequence: String(next) }));
    const stream = client.Consume({ cursor: { positions }, follow: true });
    try {
      for await (const answer of stream) {
        for (let data = answer.batches; data.length > 0 && left > 0; ) {
          const { header, payload } = parse(data);
          const origin = header.origin.toString("hex");
          for (const [at, value] of values(payload).entries()) {
            const sequence = header.baseSequence + BigInt(at);
            if (sequence < (cursor.get(origin) ?? 1n) || left === 0) continue;
            console.log("record", value.toString());
            cursor.set(origin, sequence + 1n);
            left--;
          }
          data = data.subarray(header.batchBytes);
        }
        for (const each of answer.passed) {
          const origin = each.origin.toString("hex"); // control batches hold no records; a cursor skips them
          if (BigInt(each.end_sequence) > (cursor.get(origin) ?? 1n)) cursor.set(origin, BigInt(each.end_sequence));
        }
        if (left === 0) break;
      }
    } catch (error) {
      if (!AGAIN.includes(error.code)) throw error;
      await sleep(50);
    }
    client.close();
  }
  console.log("cursor", token(cursor));
}

const [verb, addr, count] = process.argv.slice(2);
if (verb === "calls") await calls(addr);
else if (verb === "produce") await produce(addr, Number(count));
else if (verb === "consume") await consume(addr.split(","), Number(count));
else throw new Error(`${verb} is not known`);

// Many calls at once on one connection: node flood.mjs ADDR CALLS STREAMS
//
// STREAMS of Batches.Produce that each have a batch acknowledged and stay, CALLS of Log.Produce at once, STREAMS of
// Log.ConsumeStream that each have a record and stay. Then it writes how many calls of each kind succeeded, and why others
// did not; it ends with its input.
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { columnsOf, encode } from "./format.mjs";

const [addr, calls, streams] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const protos = fileURLToPath(new URL("../../proto", import.meta.url));
const files = ["log/v1/log.proto", "proglog/v1/batches.proto"];
const loaded = loader.loadSync(files, { includeDirs: [protos], keepCase: true, longs: String });
const { log, proglog } = grpc.loadPackageDefinition(loaded);
const channel = new grpc.Channel(addr, grpc.credentials.createInsecure(), {});
const open = (Service) => new Service(addr, grpc.credentials.createInsecure(), { channelOverride: channel });
const [book, batches] = [open(log.v1.Log), open(proglog.v1.Batches)];
const outcomes = {};
let last = 0; // the highest offset that was answered
const count = (what) => (outcomes[what] = (outcomes[what] ?? 0) + 1);
const refused = (error) => `${grpc.status[error.code]} ${error.details}`;

const producer = () =>
  new Promise((done) => {
    const list = [Buffer.from("one"), Buffer.from("two")];
    const now = Date.now();
    const numbers = { producerId: randomBytes(16), epoch: 1, sequence: 0 };
    const stream = batches.Produce();
    stream.write({ batch: encode(columnsOf(list), { count: list.length, firstMs: now, maxMs: now, ...numbers }) });
    stream.on("data", () => done(count("Batches.Produce")));
    stream.on("error", (error) => done(count(refused(error))));
  });
const produce = () =>
  new Promise((done) => {
    const answered = (error, answer) => {
      if (!error) last = Math.max(last, Number(answer.offset));
      done(count(error ? refused(error) : "Log.Produce"));
    };
    book.Produce({ record: { value: Buffer.from("v".repeat(100)) } }, answered);
  });
const consumer = () =>
  new Promise((done) => {
    const stream = book.ConsumeStream({ offset: last });
    stream.on("data", () => {
      stream.pause();
      done(count("Log.ConsumeStream"));
    });
    stream.on("error", (error) => done(count(refused(error))));
  });
const all = (one, many) => Promise.all(Array.from({ length: many }, one));

await all(producer, streams);
await all(produce, calls);
await all(consumer, streams);
console.log(JSON.stringify(outcomes));
process.stdin.on("end", () => process.exit(0)).resume();

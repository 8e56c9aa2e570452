// Checks format.mjs with testdata/vectors.json; says what is wrong, and ends with 1 if anything is.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { columnsOf, crc, encode, parse, parseToken, smallFile, token, values } from "./format.mjs";

const vectors = JSON.parse(readFileSync(new URL("../../testdata/vectors.json", import.meta.url), "utf8"));
const hex = (text) => Buffer.from(text, "hex");

for (const each of vectors.crc32c) assert.equal(crc(hex(each.data)), each.crc);
for (const each of [...vectors.unstamped, ...vectors.stored.batches]) {
  const data = hex(each.bytes);
  const { header, payload } = parse(data);
  assert.equal(header.baseOffset, BigInt(each.header.base_offset), each.name);
  assert.equal(header.chain, each.header.chain_crc, each.name);
  assert.equal(header.maxTimestampMs, BigInt(each.header.max_timestamp_ms), each.name);
  if (each.records) assert.deepEqual(values(payload).map((value) => value.toString("hex")), each.records.map((record) => record.value));
  data[data.length - 1] ^= 1;
  assert.throws(() => parse(data), each.name);
}
for (const each of vectors.unstamped.filter((each) => each.records)) {
  const { header, payload } = parse(hex(each.bytes));
  const made = encode(payload, {
    count: header.count, firstMs: header.firstTimestampMs, maxMs: header.maxTimestampMs,
    producerId: header.producerId, epoch: header.producerEpoch, sequence: header.producerSequence,
  });
  assert.equal(made.toString("hex"), each.bytes, each.name);
}
assert.equal(columnsOf([Buffer.from("hello")]).toString("hex"), "0a0568656c6c6f");
for (const each of vectors.cursors) {
  const cursor = parseToken(each.token);
  assert.equal(cursor.size, each.positions.length);
  assert.equal(token(cursor), each.token);
}
for (const each of vectors.bad_cursors) assert.throws(() => parseToken(each.token), undefined, each.why);
for (const each of vectors.small_files) {
  if (each.name === "derived") assert.throws(() => smallFile(each.text), /later/); // a hint, whose version moves by itself
  else assert.equal(smallFile(each.text).log ?? vectors.stored.log, vectors.stored.log, each.name);
}
for (const each of vectors.bad_small_files) assert.throws(() => smallFile(each.text), undefined, each.why);
console.log("the vectors agree");

// Batches, cursors and small files of proglog, from docs/concepts/formats.md and docs/concepts/wire.md. No dependencies.

const SEED = 0x50524f47; // "PROG": the checksum of nothing is not 0
const HEADER_BYTES = 128;
const TABLE = new Uint32Array(256).map((_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  return value >>> 0;
});

export function crc(data, start = SEED) {
  let value = ~start >>> 0;
  for (const byte of data) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}

/** The header and payload of the batch at the start of `data`, a Buffer; throws where it is damaged or of a later release. */
export function parse(data) {
  if (data.length < HEADER_BYTES) throw new Error("a batch header is cut short");
  if (crc(data.subarray(8, HEADER_BYTES)) !== data.readUInt32LE(4)) throw new Error("the header's checksum does not agree");
  const header = {
    baseOffset: data.readBigUInt64LE(8),
    batchBytes: data.readUInt32LE(24),
    version: data[36],
    codec: data[37],
    flags: data.readUInt16LE(38),
    origin: data.subarray(40, 56),
    baseSequence: data.readBigUInt64LE(56),
    span: data.readBigUInt64LE(64),
    count: data.readUInt32LE(72),
    chain: data.readUInt32LE(76),
    producerEpoch: data.readUInt32LE(84),
    firstTimestampMs: data.readBigInt64LE(88),
    maxTimestampMs: data.readBigInt64LE(96),
    producerId: data.subarray(104, 120),
    producerSequence: data.readBigUInt64LE(120),
  };
  if (header.version < 1 || header.version > 2 || header.codec || header.flags & ~3) throw new Error("a later release wrote this");
  if (header.batchBytes < HEADER_BYTES || header.batchBytes > data.length) throw new Error("a batch is cut short");
  const payload = data.subarray(HEADER_BYTES, header.batchBytes);
  if (crc(data.subarray(36, HEADER_BYTES), crc(payload)) !== data.readUInt32LE(32)) throw new Error("the batch's checksum does not agree");
  return { header, payload };
}

/** An unstamped batch: what a producer sends. */
export function encode(payload, { count, firstMs, maxMs, producerId = Buffer.alloc(16), epoch = 0, sequence = 0n }) {
  const data = Buffer.alloc(HEADER_BYTES + payload.length);
  data.write("a7504c42", 0, "hex");
  data.writeUInt32LE(data.length, 24);
  data[36] = 1;
  data.writeBigUInt64LE(BigInt(count), 64);
  data.writeUInt32LE(count, 72);
  data.writeUInt32LE(epoch, 84);
  data.writeBigInt64LE(BigInt(firstMs), 88);
  data.writeBigInt64LE(BigInt(maxMs), 96);
  producerId.copy(data, 104);
  data.writeBigUInt64LE(BigInt(sequence), 120);
  payload.copy(data, HEADER_BYTES);
  data.writeUInt32LE(crc(data.subarray(36, HEADER_BYTES), crc(payload)), 32);
  data.writeUInt32LE(crc(data.subarray(8, HEADER_BYTES)), 4);
  return data;
}

function varint(number) {
  const bytes = [];
  for (let left = BigInt(number); ; left >>= 7n) {
    if (left < 0x80n) return Buffer.from([...bytes, Number(left)]);
    bytes.push(Number(left & 0x7fn) | 0x80);
  }
}

function readVarint(data, at) {
  let number = 0n;
  for (let shift = 0n; shift < 64n && at < data.length; shift += 7n) {
    number |= BigInt(data[at] & 0x7f) << shift;
    if (data[at++] < 0x80) return [number, at];
  }
  throw new Error("a number is cut short");
}

/** The value column: field 1 of RecordColumns, once a record. */
export function values(payload) {
  const found = [];
  for (let at = 0; at < payload.length; ) {
    let tag, size;
    [tag, at] = readVarint(payload, at);
    if ((tag & 7n) !== 2n) throw new Error("a column of an unknown kind");
    [size, at] = readVarint(payload, at);
    if (tag >> 3n === 1n) found.push(payload.subarray(at, at + Number(size)));
    at += Number(size);
  }
  return found;
}

export function columnsOf(list) {
  return Buffer.concat(list.flatMap((value) => [Buffer.from([0x0a]), varint(value.length), value]));
}

/** Cursors are maps from an origin, in hex, to its next sequence. */
export function token(cursor) {
  const origins = [...cursor.keys()].sort();
  const parts = origins.flatMap((origin) => [Buffer.from(origin, "hex"), varint(cursor.get(origin))]);
  const body = Buffer.concat([Buffer.from([1]), ...parts]);
  const check = Buffer.alloc(4);
  check.writeUInt32LE(crc(body));
  return Buffer.concat([body, check]).toString("base64url");
}

export function parseToken(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Error("characters that no cursor has");
  const data = Buffer.from(text, "base64url");
  const body = data.subarray(0, -4);
  if (data.length < 5 || crc(body) !== data.readUInt32LE(body.length)) throw new Error("the cursor's checksum does not agree");
  if (body[0] !== 1) throw new Error(`cursor version ${body[0]}`);
  const cursor = new Map();
  for (let at = 1; at < body.length; ) {
    const origin = body.subarray(at, at + 16).toString("hex");
    const [sequence, next] = readVarint(body, at + 16);
    cursor.set(origin, sequence);
    at = next;
  }
  return cursor;
}

/** The content of a small file: a line of JSON, and a line with its checksum. */
export function smallFile(text) {
  const line = Buffer.from(text.slice(0, text.indexOf("\n") + 1));
  if (!line.length || text.slice(line.toString().length) !== `crc32c ${crc(line).toString(16).padStart(8, "0")}\n`) throw new Error("the file is damaged");
  const content = JSON.parse(line);
  if ((content.version ?? 1) !== 1 || content.needs?.length) throw new Error("a later release wrote this");
  return content;
}

// SPDX-License-Identifier: Apache-2.0
// Packed columns to exact integers (docs/specs/001-ring.md, COL-1 to COL-15). Pure functions.

const PIECE = 2048;
const LEVELS = 14;
const MOST_LEVELS = 64;
const SMALL_BITS = 30;

const signed = (value) => BigInt.asIntN(64, value);
const unzigzag = (coded) => (coded & 1n ? -((coded + 1n) >> 1n) : coded >> 1n);

/** Reads bytes from the front of a view; throws RangeError where they end too early. */
class Bytes {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  byte() {
    if (this.at >= this.data.length) throw new RangeError("missing bytes");
    return this.data[this.at++];
  }

  varint() {
    let value = 0n;
    for (let shift = 0n; shift < 64n; shift += 7n) {
      const byte = this.byte();
      if (shift === 63n && byte > 1) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError("a varint over 64 bits");
  }

  integer() {
    return unzigzag(this.varint());
  }
}

/** Bits of a view from byte `start` on, low bits first; behind the end there are zeros. */
class Bits {
  constructor(data, start) {
    this.data = data;
    this.at = 8 * start;
  }

  /** Up to 30 bits, as a Number. */
  few(bits) {
    let value = 0;
    for (let have = 0; have < bits; ) {
      const skip = this.at & 7;
      const take = Math.min(8 - skip, bits - have);
      const byte = this.data[this.at >> 3] ?? 0;
      value |= ((byte >> skip) & ((1 << take) - 1)) << have;
      have += take;
      this.at += take;
    }
    return value;
  }

  /** Up to 64 bits, as a BigInt. */
  many(bits) {
    let value = 0n;
    for (let have = 0; have < bits; have += SMALL_BITS) {
      value |= BigInt(this.few(Math.min(SMALL_BITS, bits - have))) << BigInt(have);
    }
    return value;
  }

  /** The byte behind the last bit read. */
  end() {
    const end = Math.ceil(this.at / 8);
    if (end > this.data.length) throw new RangeError("missing bytes");
    if (this.few(8 * end - this.at)) throw new RangeError("the last byte is not filled with zeros");
    return end;
  }
}

/**
 * Columns laid end to end.
 *
 * @param {Uint8Array} data
 * @param {number[]} lengths how many values each column has
 * @returns {BigInt64Array[]}
 * @throws {RangeError} the data is damaged, too short or too long
 */
export function unpackColumns(data, lengths) {
  const bytes = new Bytes(data);
  const columns = lengths.map((length) => column(bytes, length));
  if (bytes.at !== data.length) throw new RangeError("bytes are left over");
  return columns;
}

function column(bytes, length) {
  // Only what was read takes memory: a length alone asks for nothing.
  const values = [];
  while (values.length < length) {
    for (const value of piece(bytes, length - values.length)) values.push(value);
  }
  return BigInt64Array.from(values);
}

function piece(bytes, left) {
  const codec = bytes.byte();
  if (codec > LEVELS) throw new RangeError("unknown codec");
  if (codec === 0) return plain(bytes, left);
  if (codec === 1) return deltas(bytes, left);
  if (codec === LEVELS) return levels(bytes, Math.min(left, PIECE));
  return dense(bytes, codec - 2, Math.min(left, PIECE));
}

function plain(bytes, length) {
  const { data, at } = bytes;
  if (at + 8 * length > data.length) throw new RangeError("missing bytes");
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  bytes.at += 8 * length;
  return Array.from({ length }, (_, i) => view.getBigInt64(at + 8 * i, true));
}

function deltas(bytes, length) {
  const values = [];
  let value = 0n;
  while (values.length < length) {
    value = signed(value + bytes.integer());
    values.push(value);
  }
  return values;
}

function dense(bytes, kind, length) {
  const order = (kind % 6) >> 1;
  const heads = Array.from({ length: order }, () => bytes.integer());
  const base = bytes.integer();
  const scale = kind >= 6 ? bytes.varint() : 1n;
  if (length <= order) throw new RangeError("fewer values than heads");
  const numbers = numbersOf(bytes, length - order);
  const values = numbers.map((number) => base + scale * (kind % 2 ? unzigzag(number) : number));
  return heads.reduceRight(summed, values).map(signed);
}

/** Values by their number in an ascending list. */
function levels(bytes, length) {
  const size = bytes.byte() + 1;
  if (size > MOST_LEVELS) throw new RangeError("too many levels");
  const list = [bytes.integer()];
  while (list.length < size) list.push(list.at(-1) + bytes.varint());
  return numbersOf(bytes, length).map((number) => {
    if (number >= BigInt(size)) throw new RangeError("no such level");
    return signed(list[Number(number)]);
  });
}

/** Numbers behind their shape, as BigInts. */
function numbersOf(bytes, count) {
  const shape = bytes.byte();
  const bits = new Bits(bytes.data, bytes.at);
  const numbers =
    shape <= 64
      ? Array.from({ length: count }, () => bits.many(shape))
      : binned(bits, shape - 65, count);
  bytes.at = bits.end();
  return numbers;
}

/** Running sums from `head` on: one value more than there were differences. */
function summed(differences, head) {
  let value = head;
  return [head, ...differences.map((difference) => (value = signed(value + difference)))];
}

function binned(bits, shape, count) {
  const mantissa = shape % 4;
  const log = (shape >> 2) + 5;
  if (log > 9) throw new RangeError("unknown shape");
  const first = bits.few(9);
  const size = bits.few(7) + 1;
  const order = bits.few(2);
  if (first + size > (65 - mantissa) << mantissa) throw new RangeError("bins beyond 64 bits");
  const states = statesOf(weightsOf(bits, size, order, 1 << log), log);
  const at = [bits.few(log), bits.few(log)];
  const numbers = [];
  while (numbers.length < count) {
    const pair = at.slice(0, count - numbers.length).map((state) => states[state]);
    pair.forEach((state, turn) => (at[turn] = state.next + bits.few(state.bits)));
    for (const { bin } of pair) numbers.push(fromBucket(bits, first + bin, mantissa));
  }
  bits.end();
  if (at[0] || at[1]) throw new RangeError("the bytes do not end where they began");
  return numbers;
}

function weightsOf(bits, size, order, total) {
  const weights = Array.from({ length: size }, () => {
    let zeros = 0;
    while (!bits.few(1)) if (++zeros > 9) throw new RangeError("a weight over 9 bits");
    const high = (1 << zeros) + bits.few(zeros) - 1;
    return (high << order) | bits.few(order);
  });
  const sum = weights.reduce((a, b) => a + b, 0);
  if (sum !== total) throw new RangeError("weights do not add up");
  return weights;
}

function statesOf(weights, log) {
  const size = 1 << log;
  const bins = new Array(size);
  let at = 0;
  weights.forEach((weight, bin) => {
    for (let i = 0; i < weight; i++) {
      bins[at] = bin;
      at = (at + (size >> 1) + (size >> 3) + 3) % size;
    }
  });
  const turns = [...weights];
  return bins.map((bin) => {
    const turn = turns[bin]++;
    const bits = log - (31 - Math.clz32(turn));
    return { bin, bits, next: (turn << bits) - size };
  });
}

function fromBucket(bits, bucket, mantissa) {
  const open = Math.max(0, (bucket >> mantissa) - 1);
  return (BigInt(bucket - (open << mantissa)) << BigInt(open)) + bits.many(open);
}

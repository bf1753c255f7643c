/**
 * Passes copies of answered queries from the data thread to the main thread, through a ring in shared memory with
 * one writer and one reader. A query that finds no room is dropped and counted, so that the writer never waits.
 *
 *     octets 0 to 11   octets written, octets read, and queries dropped, each modulo 2^32
 *     from 16          the ring: records of multiples of eight octets
 *
 *     record   0  u32  length of the record; 0: continue at the begin of the ring
 *              4  u8   outcome, RCODE, extended error + 1, transport (0 UDP, 1 TCP)
 *              8  f64  Unix time of the answer, milliseconds
 *             16  f64  milliseconds from the query to the answer
 *             24  u16  client's port, listener, length of the query, length of the answer as sent,
 *                      octets of the answer that follow, length of the client's address
 *             36       the client's address as text, the query, the answer
 */

/** How a query was answered. `refused`: without a look-up, because the client or the message is not accepted. */
export const OUTCOMES = ['hit', 'miss', 'stale', 'local', 'failure', 'refused'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** One answered query. Octets are only valid until the next record is read. */
export type SeenQuery = {
  readonly outcome: Outcome
  readonly rcode: number
  /** The extended error, -1 for none. */
  readonly ede: number
  readonly transport: 'udp' | 'tcp'
  /** Unix time in milliseconds, with fractions. */
  readonly at: number
  readonly tookMs: number
  readonly client: string
  /** 0 if it is not known. */
  readonly port: number
  /** Index of the listener. */
  readonly server: number
  readonly query: Buffer
  /** Length of the answer as sent. */
  readonly octets: number
  /** The answer; empty unless the reader wants whole messages. */
  readonly answer: Buffer
}

const HEAD = 16
const FIXED = 36
const WRITTEN = 0
const READ = 1
const DROPPED = 2

/** @param size of the ring in octets, a power of two */
export const queryRing = (size: number): SharedArrayBuffer => new SharedArrayBuffer(HEAD + size)

class Ring {
  protected readonly numbers: Int32Array
  protected readonly bytes: Buffer
  protected readonly view: DataView

  constructor(memory: SharedArrayBuffer) {
    this.numbers = new Int32Array(memory, 0, 3)
    this.bytes = Buffer.from(memory, HEAD)
    this.view = new DataView(memory, HEAD)
  }

  protected get size(): number {
    return this.bytes.length
  }
}

export class QueryRingWriter extends Ring {
  /** Whether it was written; otherwise it is counted as dropped. */
  put(seen: SeenQuery): boolean {
    const { client, query, answer } = seen
    const length = (FIXED + client.length + query.length + answer.length + 7) & ~7
    const at = this.#room(length)
    if (at < 0) {
      Atomics.add(this.numbers, DROPPED, 1)
      return false
    }
    const { bytes, view } = this
    view.setUint32(at, length)
    bytes[at + 4] = OUTCOMES.indexOf(seen.outcome)
    bytes[at + 5] = seen.rcode
    bytes[at + 6] = seen.ede + 1
    bytes[at + 7] = seen.transport === 'tcp' ? 1 : 0
    view.setFloat64(at + 8, seen.at)
    view.setFloat64(at + 16, seen.tookMs)
    view.setUint16(at + 24, seen.port)
    view.setUint16(at + 26, seen.server)
    view.setUint16(at + 28, query.length)
    view.setUint16(at + 30, seen.octets)
    view.setUint16(at + 32, answer.length)
    view.setUint16(at + 34, client.length)
    const queryAt = at + FIXED + bytes.write(client, at + FIXED, 'latin1')
    bytes.set(query, queryAt)
    bytes.set(answer, queryAt + query.length)
    Atomics.add(this.numbers, WRITTEN, length)
    return true
  }

  /** The offset for a record; -1 if it does not fit in now. A record is never split at the end of the ring. */
  #room(length: number): number {
    const written = Atomics.load(this.numbers, WRITTEN)
    const used = (written - Atomics.load(this.numbers, READ)) >>> 0
    const at = (written >>> 0) & (this.size - 1)
    const toEnd = this.size - at
    if (length <= toEnd) return used + length <= this.size ? at : -1
    if (used + toEnd + length > this.size) return -1
    this.view.setUint32(at, 0)
    Atomics.add(this.numbers, WRITTEN, toEnd)
    return 0
  }
}

export class QueryRingReader extends Ring {
  #dropped = 0

  /** Passes at most `limit` records to `each`; returns their number. */
  read(each: (seen: SeenQuery) => void, limit: number): number {
    for (let n = 0; n < limit; n++) {
      const read = Atomics.load(this.numbers, READ)
      if (read === Atomics.load(this.numbers, WRITTEN)) return n
      const at = (read >>> 0) & (this.size - 1)
      const length = this.view.getUint32(at)
      if (length > 0) each(this.#record(at))
      else n--
      Atomics.add(this.numbers, READ, length > 0 ? length : this.size - at)
    }
    return limit
  }

  /** The number of queries that were dropped since the last call. */
  dropped(): number {
    const dropped = Atomics.load(this.numbers, DROPPED)
    const more = (dropped - this.#dropped) >>> 0
    this.#dropped = dropped
    return more
  }

  #record(at: number): SeenQuery {
    const { bytes, view } = this
    const queryAt = at + FIXED + view.getUint16(at + 34)
    const answerAt = queryAt + view.getUint16(at + 28)
    return {
      outcome: OUTCOMES[bytes[at + 4]!] ?? 'failure',
      rcode: bytes[at + 5]!,
      ede: bytes[at + 6]! - 1,
      transport: bytes[at + 7] === 1 ? 'tcp' : 'udp',
      at: view.getFloat64(at + 8),
      tookMs: view.getFloat64(at + 16),
      client: bytes.toString('latin1', at + FIXED, queryAt),
      port: view.getUint16(at + 24),
      server: view.getUint16(at + 26),
      query: bytes.subarray(queryAt, answerAt),
      octets: view.getUint16(at + 30),
      answer: bytes.subarray(answerAt, answerAt + view.getUint16(at + 32)),
    }
  }
}

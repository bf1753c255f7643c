/**
 * The upstreams of the bench: a worker thread that answers every A question at once on several addresses. It counts
 * queries, which shows whether a server raced.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { createPacketIO } from '../../src/data/io/io.ts'
import { TX_SLOT } from '../../src/data/io/packet-io.ts'
import type { Batch, Peer, UdpSocket } from '../../src/data/io/packet-io.ts'
import { SHORT_TTL, SHORT_ZONE, SLOW_MS, SLOW_ZONE } from './questions.ts'
import { listenTcp } from '../../src/data/serve/tcp/tcp.ts'
import type { TcpListener } from '../../src/data/serve/tcp/tcp.ts'

/** The thread's start data. It opens one socket per address, all on the port that it reports. */
export type UpstreamStart = { readonly addresses: readonly string[]; readonly ttl: number }

const HEADER = 12
const TYPE_A = 1
/** Limit of a query in octets. */
const LONGEST = 512
/** A pointer to the question, type, class, TTL, length, address: 16 octets. */
const record = (ttl: number): Buffer => {
  const bytes = Buffer.from('c00c0001000100000000' + '0004' + 'c0000201', 'hex')
  bytes.writeUInt32BE(ttl, 6)
  return bytes
}

const { addresses, ttl } = workerData as UpstreamStart
const lasting = record(ttl)
const fleeting = record(SHORT_TTL)
/** No other zone's first label begins with these. */
const SHORT = SHORT_ZONE.charCodeAt(0)
const SLOW = SLOW_ZONE.charCodeAt(0)
const scratch = Buffer.alloc(TX_SLOT)
let queries = 0

/**
 * Writes the response to the query at rx[from .. from + length) to tx[to ...]; returns its length, 0 if it is not a
 * query.
 */
const respond = (rx: Buffer, from: number, length: number, tx: Buffer, to: number): number => {
  queries++
  let end = HEADER
  while (end < length && rx[from + end]! !== 0) end += rx[from + end]! + 1
  end += 5
  if (end > length || length > LONGEST) return 0
  for (let j = 0; j < end; j++) tx[to + j] = rx[from + j]!
  tx[to + 2] = 0x84 | (tx[to + 2]! & 1)
  tx[to + 3] = 0x80
  const isA = rx[from + end - 3] === TYPE_A && rx[from + end - 4] === 0
  // QDCOUNT stays. The response has no OPT, like Mesos-DNS's.
  tx[to + 6] = 0
  tx[to + 7] = isA ? 1 : 0
  for (let j = 8; j < HEADER; j++) tx[to + j] = 0
  if (!isA) return end
  const zone = zoneLetter(rx, from)
  const answer = zone === SHORT || zone === SLOW ? fleeting : lasting
  for (let j = 0; j < answer.length; j++) tx[to + end + j] = answer[j]!
  return end + answer.length
}

/** The first letter of the zone, the name's second label. */
const zoneLetter = (b: Buffer, from: number): number =>
  b[from + HEADER + 2 + b[from + HEADER]!] ?? 0

/** Responses that are sent later, the first to be sent first. */
const later: { due: number; socket: UdpSocket; peer: Peer; bytes: Buffer }[] = []

const onBatch = (batch: Batch): void => {
  const { rx, rxAt, rxLen, tx, txAt, txLen, count } = batch
  for (let i = 0; i < count; i++) {
    const length = respond(rx, rxAt[i]!, rxLen[i]!, tx, txAt[i]!)
    if (zoneLetter(rx, rxAt[i]!) !== SLOW) txLen[i] = length
    else {
      const bytes = Buffer.from(tx.subarray(txAt[i]!, txAt[i]! + length))
      later.push({ due: io.now() + SLOW_MS, socket: batch.socket, peer: batch.peer(i), bytes })
    }
  }
}

const sendLater = (now: number): number => {
  for (let next = later[0]; next && next.due <= now; next = later[0]) {
    next.socket.send(next.bytes, 0, next.bytes.length, next.peer)
    later.shift()
  }
  return later[0] ? later[0].due - now : Infinity
}

const { io } = await createPacketIO({ io: 'auto' })
/** dnsdist forwards TCP queries over TCP. */
const listenOn = (address: string, port: number): Promise<TcpListener> =>
  listenTcp({
    address,
    port,
    maxConnections: 1_000,
    idleMs: 60_000,
    halfFrameMs: 5_000,
    maxWriteBuffer: 1 << 20,
    maxInFlightPerConnection: 1_000,
    now: () => performance.now(),
    onQuery: (wire, _from, send) => {
      const length = respond(wire, 0, wire.length, scratch, 0)
      if (length > 0) send(scratch.subarray(0, length))
    },
    onEvent: () => {},
  })

const listeners: TcpListener[] = []
let port = 0
for (const address of addresses) {
  const socket = await io.open({ address, port, receiveBuffer: 4 << 20, onBatch })
  port = socket.port
  listeners.push(await listenOn(address, port))
}
io.start(sendLater)
parentPort?.on('message', (message: unknown) => {
  if (message === 'count') parentPort?.postMessage({ queries })
  else if (message === 'close') {
    io.close()
    for (const listener of listeners) void listener.close()
    parentPort?.close()
  }
})
parentPort?.postMessage({ port })

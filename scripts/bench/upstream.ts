/**
 * The upstreams of the bench: a worker thread that answers every A question
 * at once, on as many addresses as it is given. It can tell how many queries
 * it saw, which shows whether a server raced.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { createPacketIO } from '../../src/data/io/io.ts'
import { TX_SLOT } from '../../src/data/io/packet-io.ts'
import type { Batch } from '../../src/data/io/packet-io.ts'
import { SHORT_TTL, SHORT_ZONE } from './questions.ts'
import { listenTcp } from '../../src/data/serve/tcp/tcp.ts'
import type { TcpListener } from '../../src/data/serve/tcp/tcp.ts'

/** What the thread is given: one socket per address, all on the port it reports. */
export type UpstreamStart = { readonly addresses: readonly string[]; readonly ttl: number }

const HEADER = 12
const TYPE_A = 1
/** No query of ours is longer. */
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
/** No other zone's first label begins with this. */
const SHORT = SHORT_ZONE.charCodeAt(0)
const scratch = Buffer.alloc(TX_SLOT)
let queries = 0

/** Writes the response to the query at rx[from .. from + length) to tx[to ...]; its length, 0 for no query. */
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
  // QDCOUNT stays; the client's OPT is not answered, as Mesos-DNS does not either.
  tx[to + 6] = 0
  tx[to + 7] = isA ? 1 : 0
  for (let j = 8; j < HEADER; j++) tx[to + j] = 0
  if (!isA) return end
  const second = from + HEADER + 1 + rx[from + HEADER]!
  const answer = rx[second + 1] === SHORT ? fleeting : lasting
  for (let j = 0; j < answer.length; j++) tx[to + end + j] = answer[j]!
  return end + answer.length
}

const onBatch = ({ rx, rxAt, rxLen, tx, txAt, txLen, count }: Batch): void => {
  for (let i = 0; i < count; i++) txLen[i] = respond(rx, rxAt[i]!, rxLen[i]!, tx, txAt[i]!)
}

const { io } = await createPacketIO({ io: 'auto' })
/** dnsdist forwards what came over TCP over TCP. */
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
io.start(() => Infinity)
parentPort?.on('message', (message: unknown) => {
  if (message === 'count') parentPort?.postMessage({ queries })
  else if (message === 'close') {
    io.close()
    for (const listener of listeners) void listener.close()
    parentPort?.close()
  }
})
parentPort?.postMessage({ port })

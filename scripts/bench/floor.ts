/**
 * The floor: a server on our batched I/O that returns the query with QR set and does no DNS. The difference to
 * spartan is the cost of spartan's own code. Run as a child: `node floor.js ADDRESS PORT [batch|dgram]`; it prints
 * `{"msg":"ready"}`.
 */
import { createPacketIO } from '../../src/data/io/io.ts'
import type { Batch } from '../../src/data/io/packet-io.ts'
import { listenTcp } from '../../src/data/serve/tcp/tcp.ts'

const QR = 0x80

/** Returns the query marked as a response. */
const echo = (batch: Batch): void => {
  const { rx, rxAt, rxLen, tx, txAt, txLen, count } = batch
  for (let i = 0; i < count; i++) {
    const from = rxAt[i]!
    const to = txAt[i]!
    const length = rxLen[i]!
    if (length < 12 || length > 512) continue
    for (let j = 0; j < length; j++) tx[to + j] = rx[from + j]!
    tx[to + 2] = tx[to + 2]! | QR
    txLen[i] = length
  }
}

const [address = '127.0.0.1', port = '0', body = 'batch'] = process.argv.slice(2)
const { io } = await createPacketIO({ io: body === 'dgram' ? 'dgram' : 'batch', spin: true })
const socket = await io.open({ address, port: Number(port), join: true, onBatch: echo })
await listenTcp({
  address,
  port: socket.port,
  maxConnections: 1_000,
  idleMs: 10_000,
  halfFrameMs: 5_000,
  maxWriteBuffer: 1 << 20,
  maxInFlightPerConnection: 1_000,
  now: () => io.now(),
  onQuery: (wire, _from, respond) => {
    wire[2] = wire[2]! | QR
    respond(wire)
  },
  onEvent: () => {},
})
io.start(() => Infinity)
process.stdout.write(`${JSON.stringify({ msg: 'ready', port: socket.port })}\n`)
process.on('SIGTERM', () => process.exit(0))

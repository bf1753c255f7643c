/**
 * Chooses the implementation of PacketIO: batches on Linux with koffi, node:dgram elsewhere. `auto` tests batches
 * with one datagram to itself first, and reports why if the test fails.
 */
import { fail, messageOf } from '../../base/error.ts'
import type { Log } from '../../base/log.ts'
import { BatchIO } from './batch.ts'
import { loadLibc } from './libc.ts'
import type { Libc } from './libc.ts'
import type { Batch, PacketIO } from './packet-io.ts'
import { Spin } from './spin.ts'

export type PacketIOOptions = {
  /**
   * `batch` rejects if batches are not available; `auto` then uses `dgram`. `apart` is `batch` with one message per
   * datagram.
   */
  readonly io: 'auto' | 'batch' | 'apart' | 'dgram'
  /** Whether the thread may poll for a moment instead of sleeping (spin.ts); for the thread that answers. */
  readonly spin?: boolean
  /** Whether other code of this thread may have timers of Node now (loop.ts). Default: always. */
  readonly othersHaveTimers?: () => boolean
  readonly log?: Log
  /** System calls that tests replace to make them fail. */
  readonly libc?: () => Promise<Libc>
}

export type Chosen = {
  readonly io: PacketIO
  /** Why this implementation was chosen, as a sentence for the log and the status. */
  readonly reason: string
  /** The system calls in use; only for batches. */
  readonly libc?: Libc
}

/** Machines with the struct layouts of arena.ts. */
const ARCHITECTURES = ['x64', 'arm64']
/** Limit for the self-test, whose datagram crosses loopback only. */
const SELF_TEST_MS = 250
const SELF_TEST_TURNS = 25

/**
 * Creates the packet I/O of this thread. Rejects with ESTATE only for `batch` and `apart` on a machine without
 * batches.
 */
export const createPacketIO = async (options: PacketIOOptions): Promise<Chosen> => {
  const { io, log, libc = loadLibc } = options
  if (io === 'dgram') return { io: await dgramIO(), reason: 'configured' }
  try {
    if (process.platform !== 'linux') throw fail(`${process.platform} has no recvmmsg`, 'ESTATE')
    if (!ARCHITECTURES.includes(process.arch)) {
      throw fail(`struct layouts of ${process.arch} are not known`, 'ESTATE')
    }
    const calls = await libc()
    if (io === 'auto') await selfTest(calls)
    const reason = io === 'auto' ? 'Linux, koffi and a self-test passed' : 'configured'
    const { othersHaveTimers } = options
    const chosen = await BatchIO.create(calls, {
      spin: options.spin ? new Spin() : undefined,
      join: io !== 'apart',
      ...(othersHaveTimers && { othersHaveTimers }),
    })
    return { io: chosen, reason, libc: calls }
  } catch (er) {
    const why = messageOf(er)
    if (io !== 'auto') throw fail(`batched I/O cannot be had: ${why}`, 'ESTATE', { cause: er })
    log?.warn('batched i/o cannot be had, using node:dgram', { err: why })
    return { io: await dgramIO(), reason: `batched I/O cannot be had: ${why}` }
  }
}

/** Loaded on demand, because it loads a part of Node that batches do not need. */
const dgramIO = async (): Promise<PacketIO> => new (await import('./dgram.ts')).DgramIO()

/** Sends one datagram to ourselves through a temporary loop. Rejects if it does not come back unchanged. */
const selfTest = async (libc: Libc): Promise<void> => {
  const io = await BatchIO.create(libc)
  try {
    const sent = Buffer.from('spartan')
    await new Promise<void>((resolve, reject) => {
      const judge = (batch: Batch): void => {
        const at = batch.rxAt[0]!
        const same = sent.equals(batch.rx.subarray(at, at + batch.rxLen[0]!))
        const ours = batch.isFrom(0, io.peer('127.0.0.1', batch.socket.port))
        if (same && ours) resolve()
        else reject(fail('a datagram to ourselves came back changed', 'ESTATE'))
      }
      const begin = async (): Promise<void> => {
        const socket = await io.open({ address: '127.0.0.1', port: 0, onBatch: judge })
        const late = performance.now() + SELF_TEST_MS
        let turns = 0
        io.start(now => {
          if (++turns > SELF_TEST_TURNS && now > late)
            reject(fail('a datagram to ourselves did not come back', 'ESTATE'))
          return 10
        })
        socket.send(sent, 0, sent.length, io.peer('127.0.0.1', socket.port))
      }
      begin().catch(reject)
    })
  } finally {
    io.close()
  }
}

/**
 * When the data thread's event loop waits, and for how long. The clock is handed in, and time passes only where the
 * loop would have slept.
 */
import t from 'tap'
import type { Test } from 'tap'
import { createSocket } from 'node:dgram'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setImmediate as nextImmediate } from 'node:timers/promises'
import { MessageChannel, Worker } from 'node:worker_threads'
import { BatchIO } from '../../../src/data/io/batch.ts'
import { loadLibc } from '../../../src/data/io/libc.ts'
import type { SocketSpec } from '../../../src/data/io/packet-io.ts'

const linux = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)
const onLinux = linux ? {} : { skip: 'SKIPPED: batches need Linux on x86-64 or arm64' }

type Wait = { readonly timeout: number; readonly pending: number }

/** A loop whose waits are recorded and skipped; `pending` counts what JavaScript still has to do. */
const scripted = async (
  t: Test,
  { due = () => Infinity, othersHaveTimers = (): boolean => false, turn = () => {} } = {},
) => {
  const libc = await loadLibc()
  const waits: Wait[] = []
  let time = 1_000
  let pending = 0
  let asleep = (): void => {}
  const io = await BatchIO.create(
    {
      ...libc,
      epoll_wait: (epoll, events, max, timeout) => {
        const count = libc.epoll_wait(epoll, events, max, 0)
        if (count !== 0 || timeout === 0) return count
        waits.push({ timeout, pending })
        time += Math.min(timeout, 3_600_000)
        asleep()
        // Lets the senders of this test run.
        return libc.epoll_wait(epoll, events, max, 1)
      },
    },
    { clock: () => time, othersHaveTimers },
  )
  t.teardown(() => io.close())
  io.start(now => {
    turn()
    return due() - now
  })
  return {
    io,
    waits,
    /** Counts as pending until it is over. */
    work: (doing: Promise<unknown>): void => {
      pending++
      void doing.then(() => pending--)
    },
    /** Resolves when the loop has waited so often from now on. */
    slept: (times: number): Promise<void> =>
      new Promise(resolve => {
        asleep = () => {
          if (--times === 0) resolve()
        }
      }),
  }
}

const sender = (t: Test, port: number, address: string) => {
  const socket = createSocket('udp4')
  t.teardown(() => socket.close())
  return () => new Promise<void>(resolve => socket.send('x', port, address, () => resolve()))
}

const listen = (io: BatchIO, onBatch: SocketSpec['onBatch']) =>
  io.open({ address: '127.10.9.1', port: 0, onBatch })

/** What a miss may begin: promises, immediates, messages, and a connection. */
const BEGUN: Readonly<Record<string, () => Promise<unknown>>> = {
  promises: async () => {
    for (let i = 0; i < 5; i++) await Promise.resolve()
  },
  'immediates of immediates': async () => {
    for (let i = 0; i < 5; i++) {
      await nextImmediate()
      await Promise.resolve()
    }
  },
  'a message port': async () => {
    const { port1, port2 } = new MessageChannel()
    const heard = new Promise(resolve => port2.once('message', resolve))
    port1.postMessage('')
    await heard
    port1.close()
    await nextImmediate()
  },
}

t.test('no promise, immediate or message waits for a datagram', onLinux, async t => {
  for (const [name, begin] of Object.entries(BEGUN)) {
    const { io, waits, work, slept } = await scripted(t)
    let done = 0
    const socket = await listen(io, () => work(begin().then(() => done++)))
    const send = sender(t, socket.port, socket.address)
    for (let i = 1; i <= 20; i++) {
      await send()
      while (done < i) await slept(1)
    }
    t.strictSame(
      waits.filter(w => w.pending > 0),
      [],
      name,
    )
    io.close()
  }
})

t.test('a socket that an immediate opens is watched before the thread sleeps', onLinux, async t => {
  const server = createServer(socket => socket.end('y'))
  await new Promise<void>(resolve => server.listen(0, '127.10.9.2', resolve))
  t.teardown(() => server.close())
  const { port, address } = server.address() as AddressInfo
  const { io, waits, slept } = await scripted(t)
  let heard = 0
  const socket = await listen(io, () => {
    setImmediate(() => connect(port, address).on('data', () => heard++))
  })
  const send = sender(t, socket.port, socket.address)
  for (let i = 1; i <= 5; i++) {
    await send()
    while (heard < i) await slept(1)
  }
  // The client and the server are in this thread, so that each wait is short: nothing slept past an event.
  t.ok(waits.every(w => w.timeout === 50 || w.timeout > 1_000_000))
  t.equal(heard, 5)
})

t.test('a thread without work sleeps until its next own deadline', onLinux, async t => {
  const { slept, waits } = await scripted(t, { due: () => 1_000 + 900_000 })
  await slept(4)
  t.strictSame(
    waits.map(w => w.timeout),
    [
      50, // libuv is looked at once more
      1_950, // the memory of the start is returned
      50,
      900_000 - 2_050,
    ],
  )
})

t.test('where others may have timers the thread looks every 50 ms', onLinux, async t => {
  const { slept, waits } = await scripted(t, { othersHaveTimers: () => true })
  await slept(5)
  t.strictSame(new Set(waits.map(w => w.timeout)), new Set([50]))
})

t.test('a deadline is met although datagrams are answered all the time', onLinux, async t => {
  let fired = 0
  let at = 1_000
  const { io, slept } = await scripted(t, {
    due: () => at + 20,
    turn: () => {
      if (io.now() >= at + 20) {
        fired++
        at = io.now()
      }
    },
  })
  const socket = await listen(io, () => true)
  const send = sender(t, socket.port, socket.address)
  for (let i = 0; i < 10; i++) {
    await slept(1)
    await send()
  }
  t.ok(fired >= 5, `${fired} deadlines`)
})

t.test('work that begins outside of a turn is not slept on', onLinux, async t => {
  const { io, slept } = await scripted(t)
  await slept(3)
  let ran = false
  io.wake()
  setImmediate(() => (ran = true))
  await slept(1)
  t.ok(ran)
})

t.test('answers given in place follow each other without a round of libuv', onLinux, async t => {
  // V8's own tasks, of which a busy machine has more at a time, need some rounds, too.
  const answers = 1_000
  for (const inPlace of [true, false]) {
    const { io } = await scripted(t)
    let got = 0
    let finish = (): void => {}
    const pong: SocketSpec['onBatch'] = batch => {
      batch.tx[batch.txAt[0]!] = 1
      if (got++ < answers) batch.txLen[0] = 1
      else finish()
      return inPlace && got <= answers
    }
    const [socket, other] = [await listen(io, pong), await listen(io, pong)]
    const done = new Promise<void>(resolve => (finish = resolve))
    const rounds = (): number => performance.nodeTiming.uvMetricsInfo.loopCount
    const before = rounds()
    socket.send(Buffer.from('x'), 0, 1, io.peer(other.address, other.port))
    io.wake()
    await done
    const took = rounds() - before
    if (inPlace) t.ok(took < answers / 2, `${took} rounds for ${answers} answers`)
    else t.ok(took >= answers, 'what may have begun something goes round each time')
    io.close()
  }
})

t.test('a handler that throws costs its turn, not the loop', onLinux, async t => {
  const { io } = await scripted(t)
  const thrown = new Promise(resolve => process.once('uncaughtException', resolve))
  let finish = (): void => {}
  const again = new Promise<void>(resolve => (finish = resolve))
  let count = 0
  const socket = await listen(io, () => {
    if (count++ === 0) throw new Error('a bug')
    finish()
  })
  const send = sender(t, socket.port, socket.address)
  await send()
  t.match(await thrown, { message: 'a bug' })
  await send()
  await again
})

t.test('a thread that sleeps for long can be ended', onLinux, async t => {
  const worker = new Worker(new URL('./fixture/sleeper.ts', import.meta.url))
  await new Promise(resolve => worker.once('message', resolve))
  t.equal(await worker.terminate(), 1)
})

t.test('the data thread has no timers of Node but those of node:dgram', async t => {
  const folder = new URL('../../../src/data/', import.meta.url)
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .filter(name =>
      /setTimeout\(|setInterval\(|timers\/promises/.test(
        readFileSync(new URL(name, folder), 'utf8'),
      ),
    )
  t.strictSame(found.sort(), ['io/dgram.ts', 'timers.ts'])
})

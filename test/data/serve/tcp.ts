import t from 'tap'
import type { Test } from 'tap'
import { fc } from '../../fixture/property.ts'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { FrameReader, framed } from '../../../src/data/serve/tcp/framing.ts'
import { listenTcp } from '../../../src/data/serve/tcp/tcp.ts'
import type { From, TcpEvent, TcpOptions } from '../../../src/data/serve/tcp/tcp.ts'

/** A message of `length` octets that begins with a number. */
const message = (n: number, length = 40): Buffer => {
  const bytes = Buffer.alloc(length, n & 255)
  bytes.writeUInt32BE(n)
  return bytes
}

t.test('framing survives any segmentation', async t => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 12, max: 3000 }), { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 2000 })),
      (lengths, cuts) => {
        const messages = lengths.map((length, i) => message(i, length))
        const stream = Buffer.concat(messages.map(framed))
        const reader = new FrameReader()
        const got: Buffer[] = []
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % (cuts.length || 1)] ?? 1
          reader.push(Buffer.from(stream.subarray(at, at + size)))
          // Sometimes messages are left in the reader while more comes.
          for (let one = i % 3 ? reader.next() : undefined; one; one = reader.next()) got.push(one)
          at += size
        }
        for (let one = reader.next(); one; one = reader.next()) got.push(one)
        return (
          !reader.partial && !reader.broken && Buffer.concat(got).equals(Buffer.concat(messages))
        )
      },
    ),
  )
  const reader = new FrameReader()
  reader.push(Buffer.from([0]))
  t.equal(reader.next(), undefined)
  t.ok(reader.partial, 'half a length is half a frame')
  reader.push(Buffer.from([11]))
  t.equal(reader.next(), undefined)
  t.ok(reader.broken, 'no room for a header')
  t.throws(() => framed(Buffer.alloc(65_536)), { code: 'EWIRE' })
  t.equal(framed(Buffer.alloc(65_535)).length, 65_537)
})

/** Rejects when it has not happened long after it should have. */
const inTime = async <T>(happens: Promise<T>, otherwise: () => string): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(otherwise())), 30_000)
  })
  try {
    return await Promise.race([happens, late])
  } finally {
    clearTimeout(timer)
  }
}

/** A listener that echoes messages; with `hold` the answers wait in `held`. */
const listening = async (t: Test, more: Partial<TcpOptions> & { hold?: boolean } = {}) => {
  const events: TcpEvent[] = []
  const asked: From[] = []
  const held: (() => void)[] = []
  let tell = (): void => {}
  const listener = await listenTcp({
    address: '127.10.250.1',
    port: 0,
    maxConnections: 100,
    idleMs: 60_000,
    halfFrameMs: 60_000,
    maxWriteBuffer: 1 << 20,
    maxInFlightPerConnection: 100,
    mayConnect: () => true,
    now: () => performance.now(),
    onQuery: (wire, from, respond) => {
      asked.push(from)
      const copy = Buffer.from(wire)
      if (more.hold) held.push(() => respond(copy))
      else respond(copy)
      tell()
    },
    onEvent: kind => {
      events.push(kind)
      tell()
    },
    ...more,
  })
  t.teardown(() => listener.close())
  const count = (kind: TcpEvent): number => events.filter(e => e === kind).length
  const when = async (met: () => boolean): Promise<void> => {
    while (!met())
      await inTime(
        new Promise<void>(resolve => (tell = resolve)),
        () => `only ${events.join(' ') || 'nothing'} happened, ${asked.length} were asked`,
      )
  }
  const until = (kind: TcpEvent, n = 1): Promise<void> => when(() => count(kind) >= n)
  const client = async (localAddress = '127.0.0.1'): Promise<Socket> => {
    const { port, address: host } = listener
    const socket = connect({ port, host, localAddress, noDelay: true })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  return { listener, events, asked, held, count, when, until, client }
}

/** The messages that come on a socket, as their numbers. */
const answers = (socket: Socket): ((n: number) => Promise<number[]>) => {
  const reader = new FrameReader()
  const got: number[] = []
  let tell = (): void => {}
  socket.on('data', chunk => {
    reader.push(chunk)
    for (let one = reader.next(); one; one = reader.next()) got.push(one.readUInt32BE())
    tell()
  })
  return async n => {
    while (got.length < n)
      await inTime(
        new Promise<void>(resolve => (tell = resolve)),
        () => `${got.length} of ${n} answers came`,
      )
    return got.splice(0, n)
  }
}
const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

t.test('tcp: queries are answered however they are cut', async t => {
  const { client, asked, listener } = await listening(t)
  const socket = await client()
  const next = answers(socket)
  const stream = Buffer.concat(numbers(5).map(i => framed(message(i))))
  for (const octet of stream) {
    socket.write(Buffer.from([octet]))
    await new Promise(resolve => setImmediate(resolve))
  }
  t.strictSame(await next(5), numbers(5), 'an octet at a time')
  socket.write(Buffer.concat([framed(message(0)), framed(message(1))]))
  t.strictSame(await next(2), [0, 1], 'two in a segment')
  socket.write(framed(message(7, 65_535)))
  t.strictSame(await next(1), [7], 'the longest')
  t.match(asked[0], { family: 4, address: '127.0.0.1', port: socket.localPort })
  t.equal(listener.connections, 1)
})

t.test('tcp: answers go out in the order they are ready', async t => {
  const { client, held, when } = await listening(t, { hold: true })
  const socket = await client()
  const next = answers(socket)
  for (const i of numbers(10)) socket.write(framed(message(i)))
  await when(() => held.length === 10)
  for (const respond of [...held].reverse()) respond()
  for (const respond of held) respond()
  t.strictSame(await next(10), numbers(10).reverse(), 'each once, the last first')
})

t.test('tcp: a client may end its side and still gets its answers', async t => {
  const { client, held, when, until } = await listening(t, { hold: true })
  const socket = await client()
  const next = answers(socket)
  socket.end(Buffer.concat(numbers(3).map(i => framed(message(i)))))
  await when(() => held.length === 3)
  for (const respond of held) respond()
  t.strictSame(await next(3), numbers(3))
  await until('closed')
})

t.test('tcp: no more queries are under way than allowed, and none is lost', async t => {
  const most = 4
  const { client, held, when } = await listening(t, { hold: true, maxInFlightPerConnection: most })
  const socket = await client()
  const next = answers(socket)
  socket.write(Buffer.concat(numbers(50).map(i => framed(message(i)))))
  for (let done = 0; done < 50;) {
    await when(() => held.length > 0)
    t.ok(held.length <= most)
    for (const respond of held.splice(0)) {
      done++
      respond()
    }
  }
  t.strictSame(await next(50), numbers(50))
})

t.test(
  'tcp: a frame without room for a header ends the connection after what was asked before it',
  async t => {
    for (const length of [0, 1, 11]) {
      const { client, until } = await listening(t)
      const socket = await client()
      const next = answers(socket)
      const bad = Buffer.alloc(2 + length)
      bad.writeUInt16BE(length)
      // Data that follows must not turn the close into a reset.
      socket.write(Buffer.concat([framed(message(1)), bad, Buffer.alloc(50_000)]))
      let reset = false
      socket.on('error', () => (reset = true))
      t.strictSame(await next(1), [1])
      if (!socket.readableEnded) await once(socket, 'end')
      socket.end()
      await until('closed')
      t.notOk(reset)
    }
  },
)

t.test('tcp: idle connections and half frames are closed', async t => {
  let now = 0
  const { client, count, until, listener } = await listening(t, {
    now: () => now,
    idleMs: 80,
    halfFrameMs: 40,
  })
  const [quiet, half, slow] = [await client(), await client(), await client()]
  const next = answers(slow)
  for (const socket of [quiet, half, slow]) socket.resume()
  half.write(framed(message(1)).subarray(0, 20))
  slow.write(framed(message(1)))
  await next(1)
  now = 30
  slow.write(framed(message(2)).subarray(0, 20))
  await new Promise(resolve => setTimeout(resolve, 60))
  t.equal(count('idleClosed'), 0)
  // More octets do not extend the time limit.
  half.write(Buffer.alloc(1))
  await new Promise(resolve => setTimeout(resolve, 60))
  now = 41
  await until('idleClosed', 1)
  t.equal(listener.connections, 3 - count('closed'))
  slow.write(framed(message(2)).subarray(20))
  t.strictSame(await next(1), [2], 'one that finishes in time stays')
  now = 100
  await until('idleClosed', 2)
  t.equal(count('idleClosed'), 2)
  now = 200
  await until('idleClosed', 3)
  await until('closed', 3)
})

t.test('tcp: a client that never reads is closed and held to its bound', async t => {
  for (const hold of [false, true]) {
    const { client, count, until, held } = await listening(t, {
      hold,
      maxWriteBuffer: 100_000,
      maxInFlightPerConnection: 1000,
      halfFrameMs: 3_000,
    })
    const socket = await client()
    socket.pause()
    const load = Buffer.concat(numbers(20).map(i => framed(message(i, 60_000))))
    const more = (): void => {
      for (const respond of held.splice(0)) respond()
      if (count('slowClosed') === 0 && socket.writable) socket.write(load, () => setImmediate(more))
    }
    more()
    // Responses that were held come all at once, and pass the bound.
    const push = setInterval(() => held.splice(0).forEach(respond => respond()), 20)
    t.teardown(() => clearInterval(push))
    await until('slowClosed')
    await until('closed')
    t.equal(count('slowClosed'), 1)
  }
})

t.test('tcp: a client that reads late gets everything', async t => {
  const { client, count } = await listening(t, { maxWriteBuffer: 100_000 })
  const socket = await client()
  socket.pause()
  const wanted = 400
  socket.write(Buffer.concat(numbers(wanted).map(i => framed(message(i, 20_000)))))
  await new Promise(resolve => setTimeout(resolve, 100))
  const next = answers(socket)
  socket.resume()
  t.strictSame(await next(wanted), numbers(wanted))
  t.equal(count('slowClosed'), 0)
})

t.test('tcp: connections beyond the cap are closed at once, others are served', async t => {
  const { client, until, listener, count } = await listening(t, { maxConnections: 3 })
  const first = [await client(), await client(), await client()]
  await until('accepted', 3)
  const fourth = await client()
  fourth.resume()
  await until('rejected')
  if (!fourth.closed) await once(fourth, 'close')
  t.equal(listener.connections, 3)
  const next = answers(first[0]!)
  first[0]!.write(framed(message(1)))
  t.strictSame(await next(1), [1])
  first[1]!.destroy()
  await until('closed')
  const fifth = await client()
  const last = answers(fifth)
  fifth.write(framed(message(5)))
  t.strictSame(await last(1), [5], 'a place that became free is given away')
  t.equal(count('closed'), 1, 'the rejected one was never open')
})

t.test('tcp: one client gets a quarter of the connections, and eight at least', async t => {
  for (const [maxConnections, share] of [
    [40, 10],
    [16, 8],
  ] as const) {
    const { client, until, when, count, listener } = await listening(t, { maxConnections })
    const held: Socket[] = []
    for (let i = 0; i < share; i++) held.push(await client('127.10.250.2'))
    await until('accepted', share)
    const over = await client('127.10.250.2')
    over.resume()
    await when(() => count('accepted') + count('clientRejected') > share)
    t.equal(count('clientRejected'), 1, 'one more is not served')
    t.equal(listener.connections, share)
    if (!over.closed) await inTime(once(over, 'close'), () => 'it stays open')
    const other = await client('127.10.250.3')
    const next = answers(other)
    other.write(framed(message(1)))
    t.strictSame(await next(1), [1], 'others are served')
    held[0]!.destroy()
    await until('closed')
    const again = await client('127.10.250.2')
    const last = answers(again)
    again.write(framed(message(2)))
    t.strictSame(await last(1), [2], 'a place that became free is given to that client again')
    t.equal(count('rejected'), 0)
  }
})

t.test('tcp: who may not ask is closed at once and takes no place', async t => {
  const { client, when, count, asked, listener } = await listening(t, {
    maxConnections: 1,
    mayConnect: address => address !== '127.10.250.4',
  })
  const stranger = await client('127.10.250.4')
  stranger.resume()
  stranger.write(framed(message(1)))
  await when(() => count('accepted') + count('refused') > 0)
  t.equal(count('refused'), 1)
  t.equal(listener.connections, 0)
  t.strictSame(asked, [])
  if (!stranger.closed) await inTime(once(stranger, 'close'), () => 'it stays open')
  const friend = await client('127.10.250.5')
  const next = answers(friend)
  friend.write(framed(message(2)))
  t.strictSame(await next(1), [2])
  t.equal(count('accepted'), 1)
})

t.test('tcp: resets do no harm', async t => {
  const { client, until, held, when, listener } = await listening(t, { hold: true })
  for (let i = 0; i < 50; i++) {
    const socket = await client()
    socket.write(framed(message(i)))
    await when(() => held.length > i)
    socket.resetAndDestroy()
  }
  await until('closed', 50)
  for (const respond of held) respond()
  t.equal(listener.connections, 0)
})

t.test('tcp: draining lets queries under way be answered', async t => {
  const { client, held, when, listener } = await listening(t, { hold: true })
  const idle = await client()
  const busy = await client()
  idle.resume()
  const next = answers(busy)
  busy.write(framed(message(1)))
  await when(() => held.length === 1)
  const drained = listener.drain(60_000)
  busy.write(framed(message(2)))
  await t.rejects(client(), { code: 'ECONNREFUSED' })
  for (const respond of held) respond()
  t.strictSame(await next(1), [1])
  busy.end()
  await drained
  t.equal(listener.connections, 0)
  await listener.close()
})

t.test('tcp: draining ends at its deadline', async t => {
  const { client, held, when, listener } = await listening(t, { hold: true })
  const socket = await client()
  socket.write(framed(message(1)))
  await when(() => held.length === 1)
  await listener.drain(30)
  t.equal(listener.connections, 0)
})

t.test('tcp: an address that cannot be had is refused by name', async t => {
  const { listener } = await listening(t)
  const other = (more: Partial<TcpOptions>) => listening(t, more)
  await t.rejects(other({ port: listener.port }), { code: 'EBIND', errno: 'EADDRINUSE' })
  await t.rejects(other({ address: '192.0.2.1' }), { code: 'EBIND', errno: 'EADDRNOTAVAIL' })
  await listener.close()
  const again = await other({ port: listener.port })
  t.equal(again.listener.port, listener.port, 'a closed listener gives its port back')
})

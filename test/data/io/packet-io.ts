/**
 * One suite for both implementations of PacketIO. Features of only one (ICMP errors, failing system calls) are
 * tested at the end.
 */
import t from 'tap'
import { clientOf } from '../../../src/base/ip.ts'
import type { Test } from 'tap'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { Worker } from 'node:worker_threads'
import { createPacketIO } from '../../../src/data/io/io.ts'
import { SOCK_DGRAM, SOCK_STREAM, loadLibc } from '../../../src/data/io/libc.ts'
import type { Libc } from '../../../src/data/io/libc.ts'
import { AF_INET, inetPeer } from '../../../src/data/io/inet.ts'
import { RX_SLOT, TX_SLOT } from '../../../src/data/io/packet-io.ts'
import type {
  Batch,
  OnTurn,
  PacketIO,
  SocketSpec,
  UdpSocket,
} from '../../../src/data/io/packet-io.ts'

const linux = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)
const bodies = linux ? (['batch', 'dgram'] as const) : (['dgram'] as const)
if (!linux) t.comment('SKIPPED: the batch body needs Linux on x86-64 or arm64')
const six = Object.values(networkInterfaces()).some(list => list?.some(a => a.address === '::1'))

/** A started PacketIO that closes with its test. */
const started = async (t: Test, body: 'batch' | 'dgram', turn: OnTurn = () => Infinity) => {
  const { io } = await createPacketIO({ io: body })
  t.teardown(() => io.close())
  io.start(turn)
  return io
}

const bytesOf = (batch: Batch, i: number): Buffer => {
  const at = batch.rxAt[i] ?? 0
  return Buffer.from(batch.rx.subarray(at, at + (batch.rxLen[i] ?? 0)))
}

const echo = (batch: Batch): void => {
  for (let i = 0; i < batch.count; i++) {
    const length = Math.min(batch.rxLen[i] ?? 0, TX_SLOT)
    const at = batch.rxAt[i] ?? 0
    batch.rx.copy(batch.tx, batch.txAt[i] ?? 0, at, at + length)
    batch.txLen[i] = length
  }
}

/** A socket that stores received datagrams and returns them in order. */
const inbox = async (io: PacketIO, address: string, more: Partial<SocketSpec> = {}) => {
  const kept: Buffer[] = []
  let tell = (): void => {}
  const socket = await io.open({
    address,
    port: 0,
    ...more,
    onBatch: batch => {
      for (let i = 0; i < batch.count; i++) kept.push(bytesOf(batch, i))
      more.onBatch?.(batch)
      tell()
    },
  })
  const next = async (count = 1): Promise<Buffer[]> => {
    while (kept.length < count) await new Promise<void>(resolve => (tell = resolve))
    return kept.splice(0, count)
  }
  return { socket, next, kept }
}

const say = (
  io: PacketIO,
  socket: UdpSocket,
  text: string | Buffer,
  to: { address: string; port: number },
) => {
  const bytes = Buffer.from(text)
  return socket.send(bytes, 0, bytes.length, io.peer(to.address, to.port))
}

for (const body of bodies) {
  t.test(`${body}: datagrams are echoed through the reply slots`, async t => {
    const io = await started(t, body)
    t.equal(io.body, body)
    const server = await io.open({ address: '127.10.0.1', port: 0, onBatch: echo })
    const client = await inbox(io, '127.10.0.2')
    const sent = Array.from({ length: 500 }, (_, i) => `datagram ${i} ${'x'.repeat(i)}`)
    const got = new Set<string>()
    for (let i = 0; i < sent.length; i += 100) {
      for (const text of sent.slice(i, i + 100)) t.ok(say(io, client.socket, text, server))
      for (const bytes of await client.next(100)) got.add(bytes.toString())
    }
    t.strictSame([...got].sort(), [...sent].sort(), 'each came back once, as it was')
    t.match(io.stats, { received: 1000, sent: 1000, sendDropped: 0, errors: 0 })
  })

  t.test(`${body}: a reply goes only to those it was made for`, async t => {
    const io = await started(t, body)
    const server = await io.open({
      address: '127.10.0.1',
      port: 0,
      onBatch: batch => {
        t.equal(batch.txLen[0], 0, 'nothing is sent by default')
        echo(batch)
        for (let i = 0; i < batch.count; i++) {
          if ((batch.rx[batch.rxAt[i] ?? 0] ?? 0) % 3 === 0) batch.txLen[i] = 0
        }
      },
    })
    const client = await inbox(io, '127.10.0.2')
    for (let i = 0; i < 100; i++) say(io, client.socket, Buffer.from([i]), server)
    const got = (await client.next(66)).map(b => b[0] ?? -1).sort((a, b) => a - b)
    t.strictSame(
      got,
      Array.from({ length: 100 }, (_, i) => i).filter(i => i % 3 !== 0),
    )
  })

  for (const [family, from, to] of [
    [4, '127.10.0.3', '127.10.0.4'],
    [6, '::1', '::1'],
  ] as const) {
    t.test(`${body}: IPv${family} senders are told apart`, async t => {
      if (family === 6 && !six) return t.pass('', { skip: 'SKIPPED: no IPv6 here' })
      const io = await started(t, body)
      const seen: unknown[] = []
      let stranger = io.peer(from, 1)
      const server = await inbox(io, to, {
        onBatch: batch => {
          for (let i = 0; i < batch.count; i++) {
            const peer = batch.peer(i)
            seen.push({
              family: peer.family,
              address: peer.address,
              port: peer.port,
              source4: batch.source4(i),
              client: batch.client(i),
              sourcePort: batch.sourcePort(i),
              self: batch.isFrom(i, peer),
              plain: batch.isFrom(i, { family, address: from, port: peer.port }),
              stranger: batch.isFrom(i, stranger),
              elsewhere: batch.isFrom(i, io.peer(family === 4 ? '127.10.0.9' : '::2', peer.port)),
            })
          }
        },
      })
      const client = await inbox(io, from)
      stranger = io.peer(from, client.socket.port ^ 1)
      say(io, client.socket, 'hello', server.socket)
      await server.next()
      t.strictSame(seen, [
        {
          family,
          address: from,
          port: client.socket.port,
          source4: family === 4 ? 0x7f0a0003 : -1,
          client: clientOf(from),
          sourcePort: client.socket.port,
          self: true,
          plain: true,
          stranger: false,
          elsewhere: false,
        },
      ])
    })
  }

  t.test(`${body}: datagrams longer than a slot are cut and say so`, async t => {
    const io = await started(t, body)
    const cut: [number, number][] = []
    const server = await inbox(io, '127.10.0.1', {
      onBatch: batch => {
        for (let i = 0; i < batch.count; i++) cut.push([batch.rxLen[i] ?? 0, batch.rxCut[i] ?? 0])
      },
    })
    const plain = createSocket('udp4')
    t.teardown(() => plain.close())
    for (const size of [0, 1, RX_SLOT, RX_SLOT + 1, 60_000, 3]) {
      plain.send(Buffer.alloc(size), server.socket.port, '127.10.0.1')
      await server.next()
    }
    t.strictSame(cut, [
      [0, 0],
      [1, 0],
      [RX_SLOT, 0],
      [RX_SLOT, 1],
      [RX_SLOT, 1],
      [3, 0],
    ])
  })

  t.test(`${body}: addresses that cannot be had are refused by name`, async t => {
    const io = await started(t, body)
    const refused = (spec: Partial<SocketSpec>, errno: string) =>
      t.rejects(io.open({ address: '127.10.0.5', port: 0, onBatch: echo, ...spec }), {
        code: 'EBIND',
        errno,
      })
    const first = await io.open({ address: '127.10.0.5', port: 0, onBatch: echo })
    await refused({ port: first.port }, 'EADDRINUSE')
    await refused({ address: '192.0.2.1' }, 'EADDRNOTAVAIL')
    await refused({ address: 'not an address' }, 'EINVAL')
    if (process.getuid?.() !== 0) await refused({ port: 53 }, 'EACCES')
    t.throws(() => io.peer('example.org', 53), { code: 'EUSAGE' })
    t.throws(() => io.peer('192.0.2.1', 65_536), { code: 'EUSAGE' })
    first.close()
    const again = await io.open({ address: '127.10.0.5', port: first.port, onBatch: echo })
    t.equal(again.port, first.port, 'a closed socket gives its port back')
  })

  t.test(`${body}: turns come when asked for, after packets and after wake`, async t => {
    let turns = 0
    let next = 10
    let tell = (): void => {}
    const times: number[] = []
    const io = await started(t, body, now => {
      turns++
      times.push(now)
      tell()
      return next
    })
    const some = async (n: number): Promise<void> => {
      for (const until = turns + n; turns < until;) await new Promise<void>(r => (tell = r))
    }
    await some(5)
    t.strictSame(
      times,
      [...times].sort((a, b) => a - b),
      'time does not run backwards',
    )
    next = Infinity
    await some(1)
    io.wake()
    await some(1)
    const client = await inbox(io, '127.10.0.1')
    const server = await io.open({ address: '127.10.0.2', port: 0, onBatch: echo })
    say(io, client.socket, 'turn', server)
    await Promise.all([client.next(), some(1)])
    t.ok(io.now() <= performance.now())
    t.throws(() => io.start(() => Infinity), { code: 'ESTATE' })
  })

  t.test(
    `${body}: what came while the thread was held up is read before a timer fires`,
    async t => {
      const happened: string[] = []
      let due = Infinity
      let tell = (): void => {}
      const fired = new Promise<void>(resolve => (tell = resolve))
      const io = await started(t, body, (now, seen) => {
        if (seen >= due) {
          due = Infinity
          happened.push('timer')
          tell()
        }
        return due - now
      })
      const second = await io.open({
        address: '127.10.0.2',
        port: 0,
        onBatch: () => void happened.push('packet'),
      })
      const out = createSocket('udp4')
      t.teardown(() => out.close())
      await new Promise<void>(resolve => out.connect(second.port, '127.10.0.2', resolve))
      const first = await io.open({
        address: '127.10.0.1',
        port: 0,
        atOnce: 1,
        onBatch: batch => {
          if (bytesOf(batch, 0).toString() !== '1') return
          due = io.now() + 5
          // Sent at once; from then on it waits in the other socket.
          out.send('late')
          for (const until = performance.now() + 20; performance.now() < until;);
        },
      })
      const client = await inbox(io, '127.10.0.1')
      say(io, client.socket, '1', first)
      say(io, client.socket, '2', first)
      await fired
      t.strictSame(happened, ['packet', 'timer'])
    },
  )

  t.test(`${body}: a closed socket takes nothing more`, async t => {
    const io = await started(t, body)
    const server = await inbox(io, '127.10.0.1')
    const client = await inbox(io, '127.10.0.2')
    t.ok(say(io, client.socket, 'last words', server.socket))
    client.socket.close()
    t.notOk(say(io, client.socket, 'too late', server.socket))
    client.socket.close()
    t.equal((await server.next())[0]?.toString(), 'last words', 'what was queued was sent')
    t.equal(io.stats.sendDropped, 1)
    io.close()
    io.close()
    await t.rejects(io.open({ address: '127.10.0.1', port: 0, onBatch: echo }), { code: 'ESTATE' })
  })

  t.test(`${body}: a handler may close its own socket`, async t => {
    const io = await started(t, body)
    const server = await inbox(io, '127.10.0.1', {
      onBatch: batch => {
        echo(batch)
        batch.socket.close()
      },
    })
    const client = await inbox(io, '127.10.0.2')
    for (let i = 0; i < 10; i++) say(io, client.socket, 'close', server.socket)
    await server.next()
    const third = await io.open({ address: '127.10.0.3', port: 0, onBatch: echo })
    say(io, client.socket, 'still here', third)
    t.equal((await client.next())[0]?.toString(), 'still here')
  })

  t.test(`${body}: everything else in the thread keeps working under load`, async t => {
    const io = await started(t, body)
    // A self-sustaining flood: every echo is sent back again.
    const server = await io.open({ address: '127.10.0.1', port: 0, onBatch: echo })
    let round = 0
    const flood = await io.open({
      address: '127.10.0.2',
      port: 0,
      onBatch: batch => {
        round += batch.count
        echo(batch)
      },
    })
    for (let i = 0; i < 64; i++) say(io, flood, `flood ${i}`, server)
    const tcp = createServer(socket => socket.pipe(socket))
    t.teardown(() => tcp.close())
    tcp.listen(0, '127.10.0.1')
    await once(tcp, 'listening')
    const socket = connect((tcp.address() as AddressInfo).port, '127.10.0.1')
    await once(socket, 'connect')
    for (let i = 0; i < 20; i++) {
      socket.write(`${i}`)
      const [back] = (await once(socket, 'data')) as [Buffer]
      t.equal(back.toString(), `${i}`)
      await new Promise(resolve => setTimeout(resolve, 1))
      await new Promise(resolve => setImmediate(resolve))
      await Promise.resolve()
    }
    socket.destroy()
    const channel = new MessageChannel()
    channel.port2.on('message', n => channel.port2.postMessage(n))
    for (let i = 0; i < 20; i++) {
      channel.port1.postMessage(i)
      t.equal(((await once(channel.port1, 'message')) as number[])[0], i)
    }
    channel.port1.close()
    const other = await inbox(io, '127.10.0.3')
    say(io, other.socket, 'not starved', server)
    t.equal((await other.next())[0]?.toString(), 'not starved')
    t.ok(round > 0)
  })

  t.test(`${body}: a worker thread has its own, and ends when it is closed`, async t => {
    const worker = new Worker(new URL('./fixture/echo-worker.ts', import.meta.url), {
      workerData: { body, address: '127.10.0.6' },
    })
    const [{ port }] = (await once(worker, 'message')) as [{ port: number }]
    const io = await started(t, body)
    const client = await inbox(io, '127.10.0.7')
    for (let i = 0; i < 10; i++) {
      say(io, client.socket, `to the worker ${i}`, { address: '127.10.0.6', port })
      t.equal((await client.next())[0]?.toString(), `to the worker ${i}`)
      worker.postMessage(i)
      t.equal(((await once(worker, 'message')) as number[])[0], i)
    }
    worker.postMessage('close')
    const [status] = (await once(worker, 'exit')) as [number]
    t.equal(status, 0)
  })

  t.test(`${body}: a bound descriptor is adopted`, async t => {
    if (!linux) return t.pass('', { skip: 'SKIPPED: needs system calls' })
    const libc = await loadLibc()
    const name = new Int32Array(new ArrayBuffer(32))
    inetPeer('127.10.0.8', 0).put(name, 0)
    const fd = libc.socket(AF_INET, SOCK_DGRAM, 0)
    t.equal(libc.bind(fd, libc.addressOf(name.buffer as ArrayBuffer), 16), 0)
    const io = await started(t, body)
    const server = await io.open({ address: '127.10.0.8', port: 0, fd, onBatch: echo })
    t.equal(server.address, '127.10.0.8')
    t.ok(server.port > 0, 'it says what it is bound to')
    const client = await inbox(io, '127.10.0.2')
    say(io, client.socket, 'adopted', server)
    t.equal((await client.next())[0]?.toString(), 'adopted')
    server.close()
    const free = await io.open({ address: '127.10.0.8', port: server.port, onBatch: echo })
    t.equal(free.port, server.port, 'closing it closes the descriptor')

    const stream = libc.socket(AF_INET, SOCK_STREAM, 0)
    t.teardown(() => libc.close(stream))
    const spec = { address: '127.10.0.8', port: 0, onBatch: echo }
    await t.rejects(io.open({ ...spec, fd: stream }), { code: 'EBIND', errno: 'EPROTOTYPE' })
    await t.rejects(io.open({ ...spec, fd: 9999 }), { code: 'EBIND' })
  })

  t.test(`${body}: a queue that is full refuses and counts`, async t => {
    const io = await started(t, body)
    const server = await inbox(io, '127.10.0.1')
    const client = await inbox(io, '127.10.0.2')
    const long = Buffer.alloc(TX_SLOT + 1)
    const to = io.peer(server.socket.address, server.socket.port)
    t.notOk(client.socket.send(long, 0, long.length, to), 'longer than any answer we send')
    t.equal(io.stats.sendDropped, 1)
    t.ok(client.socket.send(long, 1, TX_SLOT, to))
    t.equal((await server.next())[0]?.length, TX_SLOT)
  })
}

/** System calls that can be made to fail: a list of errnos for the next sendmmsg calls. */
const failing = async () => {
  const libc = await loadLibc()
  const plan: number[] = []
  let full = -1
  let errno = 0
  let last = -1
  const loads: number[] = []
  return {
    plan,
    loads: () => loads.splice(0),
    /** The descriptor of the last send. */
    last: () => last,
    /** Simulates a full send buffer of this descriptor; -1: of none. */
    fill: (fd: number) => (full = fd),
    libc: async (): Promise<Libc> => ({
      ...libc,
      sendmmsg: (fd, headers, count, flags) => {
        errno = plan.shift() ?? (fd === full ? 105 : 0)
        last = fd
        loads.push(errno ? 0 : count)
        return errno ? -1 : libc.sendmmsg(fd, headers, count, flags)
      },
      errno: () => errno || libc.errno(),
    }),
  }
}

const onLinux = linux ? {} : { skip: 'SKIPPED: the batch body needs Linux on x86-64 or arm64' }

t.test(
  'batch: a refused port is told apart from the others asked by the same socket',
  onLinux,
  async t => {
    for (const [address, closed, open] of [
      ['127.10.1.1', '127.10.1.2', '127.10.1.3'],
      ['::1', '::1', '::1'],
    ] as const) {
      if (address === '::1' && !six) continue
      const io = await started(t, 'batch')
      const gone = await inbox(io, closed)
      const port = gone.socket.port
      gone.socket.close()
      const server = await io.open({ address: open, port: 0, onBatch: echo })
      const errors: string[] = []
      let tell = (): void => {}
      const client = await inbox(io, address, {
        onError: (code, peer) => {
          errors.push(`${code} ${peer?.address} ${peer?.port}`)
          tell()
        },
      })
      for (let round = 1; round <= 50; round++) {
        say(io, client.socket, `first ${round}`, server)
        say(io, client.socket, `refused ${round}`, { address: closed, port })
        say(io, client.socket, `second ${round}`, server)
        await client.next(2)
        // Sent while the socket still has the pending error of the last round.
        say(io, client.socket, `third ${round}`, server)
        await client.next(1)
      }
      while (errors.length < 50) await new Promise<void>(resolve => (tell = resolve))
      t.strictSame(new Set(errors), new Set([`ECONNREFUSED ${closed} ${port}`]))
      t.match(io.stats, { sendDropped: 0, errors: 50 }, 'nothing was lost to the errors of others')
      io.close()
    }
  },
)

t.test('batch: what the kernel has no room for is sent later', onLinux, async t => {
  const { plan, libc } = await failing()
  const { io } = await createPacketIO({ io: 'batch', libc })
  t.teardown(() => io.close())
  io.start(() => Infinity)
  const server = await io.open({ address: '127.10.1.1', port: 0, onBatch: echo })
  const client = await inbox(io, '127.10.1.2')
  const EAGAIN = 11
  const ENOBUFS = 105
  const EINTR = 4
  for (let round = 0; round < 20; round++) {
    plan.push(ENOBUFS, EAGAIN, EINTR)
    for (let i = 0; i < 200; i++) say(io, client.socket, `datagram ${i}`, server)
    const got = (await client.next(200)).map(String)
    t.equal(new Set(got).size, 200)
    t.strictSame(got.slice().sort(), Array.from({ length: 200 }, (_, i) => `datagram ${i}`).sort())
  }
  t.match(io.stats, { sendDropped: 0, errors: 0 })
  t.ok(io.stats.sendRetried >= 40)
})

t.test('batch: a send that cannot work is dropped, counted and told', onLinux, async t => {
  const { plan, libc } = await failing()
  const { io } = await createPacketIO({ io: 'batch', libc })
  t.teardown(() => io.close())
  io.start(() => Infinity)
  const errors: string[] = []
  const server = await io.open({
    address: '127.10.1.1',
    port: 0,
    onBatch: echo,
    onError: (code, peer) => errors.push(`server ${code} ${peer?.address}`),
  })
  const client = await inbox(io, '127.10.1.2', {
    onError: (code, peer) => errors.push(`client ${code} ${peer?.address}`),
  })
  const EPERM = 1
  // An error makes one call fail, whichever datagram it is for, so each datagram is tried twice.
  plan.push(EPERM, EPERM)
  say(io, client.socket, 'lost', server)
  say(io, client.socket, 'echoed', server)
  t.equal(String((await client.next())[0]), 'echoed')
  plan.push(0, EPERM, EPERM)
  say(io, client.socket, 'reply lost', server)
  say(io, client.socket, 'reply kept', server)
  t.equal(String((await client.next())[0]), 'reply kept')
  t.strictSame(errors, ['client EPERM 127.10.1.1', 'server EPERM 127.10.1.2'])
  t.match(io.stats, { sendDropped: 2, errors: 2 })
})

t.test(
  'batch: a socket without room is bounded, counted, and leaves the others theirs',
  onLinux,
  async t => {
    const { fill, last, libc } = await failing()
    const { io } = await createPacketIO({ io: 'batch', libc })
    t.teardown(() => io.close())
    let tell = (): void => {}
    io.start(() => {
      tell()
      return 10
    })
    const server = await inbox(io, '127.10.1.1')
    const client = await inbox(io, '127.10.1.2')
    const other = await inbox(io, '127.10.1.3')
    say(io, client.socket, 'before', server.socket)
    await server.next()
    fill(last())
    let taken = 0
    for (let i = 0; i < 5000; i++) if (say(io, client.socket, `${i}`, server.socket)) taken++
    t.ok(taken >= 500 && taken < 1000, 'what is held is bounded')
    t.equal(io.stats.sendDropped, 5000 - taken)
    for (let i = 0; i < 100; i++) t.ok(say(io, other.socket, 'elsewhere', server.socket))
    await server.next(100)
    // In the end the queued datagrams are dropped, too, and their slots are free again.
    while (io.stats.sendDropped < 5000) await new Promise<void>(resolve => (tell = resolve))
    fill(-1)
    t.ok(say(io, client.socket, 'after', server.socket))
    t.equal(String((await server.next())[0]), 'after')
    t.equal(io.stats.sendDropped, 5000)
    t.equal(io.stats.sent, 102)
  },
)

t.test('batch: one turn sends what it queued with one call per socket', onLinux, async t => {
  const { loads, libc } = await failing()
  const { io } = await createPacketIO({ io: 'batch', libc })
  t.teardown(() => io.close())
  io.start(() => Infinity)
  const masters = await Promise.all(
    ['127.10.1.1', '127.10.1.2', '127.10.1.3'].map(a => inbox(io, a)),
  )
  const one = await inbox(io, '127.10.1.4')
  const two = await inbox(io, '127.10.1.5')
  loads()
  for (const { socket } of masters) {
    say(io, one.socket, 'burst', socket)
    say(io, two.socket, 'burst', socket)
  }
  for (const { next } of masters) await next(2)
  t.strictSame(loads(), [3, 3])
})

t.test('batch: what leaves together for one peer shares a message', onLinux, async t => {
  for (const [here, there] of [
    ['127.10.1.1', '127.10.1.2'],
    ['::1', '::1'],
  ] as const) {
    if (here === '::1' && !six) continue
    for (const [choice, messages] of [
      ['batch', 1],
      ['apart', 50],
    ] as const) {
      const { loads, libc } = await failing()
      const { io } = await createPacketIO({ io: choice, libc })
      io.start(() => Infinity)
      const server = await io.open({ address: here, port: 0, join: true, onBatch: echo })
      const client = await inbox(io, there, { join: true })
      loads()
      const sent = Array.from({ length: 50 }, (_, i) => `datagram ${100 + i}`)
      for (const text of sent) say(io, client.socket, text, server)
      t.strictSame((await client.next(50)).map(String), sent, 'each comes for itself, in order')
      t.equal(loads()[0], messages, choice)
      t.match(io.stats, { sent: 100, received: 100, sendDropped: 0 })
      io.close()
    }
  }
})

t.test(
  'batch: a socket takes no more at once than it was told, and leaves nothing',
  onLinux,
  async t => {
    for (const [atOnce, most] of [
      [10, 10],
      [1_000, 64],
    ] as const) {
      const io = await started(t, 'batch')
      const counts: number[] = []
      const server = await io.open({
        address: '127.10.1.1',
        port: 0,
        atOnce,
        onBatch: batch => {
          counts.push(batch.count)
          echo(batch)
        },
      })
      const client = await inbox(io, '127.10.1.2')
      for (let i = 0; i < 300; i++) say(io, client.socket, `datagram ${i}`, server)
      t.equal(new Set((await client.next(300)).map(String)).size, 300)
      t.equal(Math.max(...counts), most)
      io.close()
    }
  },
)

t.test('batch: a kernel that takes no shared messages gets one for each', onLinux, async t => {
  const { plan, loads, libc } = await failing()
  const { io } = await createPacketIO({ io: 'batch', libc })
  t.teardown(() => io.close())
  io.start(() => Infinity)
  const told: string[] = []
  const onError = (code: string): void => void told.push(code)
  const server = await io.open({
    address: '127.10.1.1',
    port: 0,
    join: true,
    onBatch: echo,
    onError,
  })
  const client = await inbox(io, '127.10.1.2', { join: true, onError })
  const sent = Array.from({ length: 40 }, (_, i) => `datagram ${100 + i}`)
  const [EIO, EINVAL] = [5, 22]
  loads()
  // first the questions are refused, then the answers
  plan.push(EIO, 0, EINVAL)
  for (const text of sent) say(io, client.socket, text, server)
  const got = (await client.next(40)).map(String)
  t.strictSame(got.toSorted(), sent.toSorted())
  t.strictSame(loads(), [0, 40, 0, 40])
  for (const text of sent) say(io, client.socket, text, server)
  await client.next(40)
  t.strictSame(loads(), [40, 40], 'and is not asked again')
  t.match(io.stats, { sent: 160, sendDropped: 0, errors: 0 })
  t.strictSame(told, [])
})

t.test(
  'batch: a shared message without room waits, one that cannot leave is lost whole',
  onLinux,
  async t => {
    const { plan, libc } = await failing()
    const { io } = await createPacketIO({ io: 'batch', libc })
    t.teardown(() => io.close())
    io.start(() => Infinity)
    const server = await io.open({ address: '127.10.1.1', port: 0, join: true, onBatch: echo })
    const client = await inbox(io, '127.10.1.2', { join: true })
    const [EPERM, ENOBUFS] = [1, 105]
    const sent = Array.from({ length: 100 }, (_, i) => `datagram ${100 + i}`)
    plan.push(ENOBUFS, ENOBUFS, 0, 0, ENOBUFS, 0, ENOBUFS)
    for (const text of sent) say(io, client.socket, text, server)
    t.strictSame((await client.next(100)).map(String).toSorted(), sent)
    t.match(io.stats, { sendDropped: 0, errors: 0 })
    plan.push(EPERM)
    for (const text of sent) say(io, client.socket, text, server)
    await client.next(36)
    t.equal(io.stats.sendDropped, 64)
  },
)

t.test('batch: a paused socket sends, and leaves what comes in the kernel', onLinux, async t => {
  const io = await started(t, 'batch')
  const server = await inbox(io, '127.10.1.3')
  const client = await inbox(io, '127.10.1.4')
  const [other, reply] = [await inbox(io, '127.10.1.5'), await inbox(io, '127.10.1.6')]
  server.socket.pause()
  say(io, client.socket, 'a query', server.socket)
  say(io, server.socket, 'a late reply', client.socket)
  t.strictSame(await client.next(), [Buffer.from('a late reply')])
  say(io, other.socket, 'something later', reply.socket)
  await reply.next()
  t.strictSame(server.kept, [])
})

t.test('batch: datagrams that the kernel dropped are counted', onLinux, async t => {
  const io = await started(t, 'batch', () => 10)
  const server = await inbox(io, '127.10.1.1', { receiveBuffer: 4096 })
  const client = await inbox(io, '127.10.1.2')
  const bytes = Buffer.alloc(1000)
  const to = io.peer(server.socket.address, server.socket.port)
  // One turn's queue is sent before the server's socket is read again.
  for (let i = 0; i < 500; i++) client.socket.send(bytes, 0, bytes.length, to)
  await server.next()
  server.socket.close()
  t.ok(io.stats.receiveDropped > 0)
  t.equal(io.stats.received + io.stats.receiveDropped, 500)
})

/** Answers in a later turn, as what missed the cache is answered. */
const echoLater = (batch: Batch): void => {
  const { socket } = batch
  for (let i = 0; i < batch.count; i++) {
    const [bytes, peer] = [bytesOf(batch, i), batch.peer(i)]
    setImmediate(() => socket.send(bytes, 0, bytes.length, peer))
  }
}

t.test('batch: a reply leaves from the address that was asked', onLinux, async t => {
  const io = await started(t, 'batch')
  for (const onBatch of [echo, echoLater])
    for (const [any, asked] of [
      ['0.0.0.0', ['127.10.2.1', '127.10.2.2', '127.10.2.3']],
      ['::', ['::1']],
    ] as const) {
      if (any === '::' && !six) continue
      const free = await io.open({ address: any, port: 0, onBatch })
      free.close()
      const server = await io.open({ address: any, port: free.port, onBatch })
      const plain = await io.open({ address: asked[0], port: 0, onBatch })
      const from: string[] = []
      const client = await inbox(io, any === '::' ? '::1' : '127.10.2.9', {
        onBatch: batch => {
          for (let i = 0; i < batch.count; i++)
            from.push(`${batch.peer(i).address} ${bytesOf(batch, i)}`)
        },
      })
      for (const address of asked) say(io, client.socket, address, { address, port: server.port })
      await client.next(asked.length)
      say(io, client.socket, 'plain', plain)
      await client.next()
      t.strictSame(
        from,
        [...asked.map(a => `${a} ${a}`), `${asked[0]} plain`],
        `${any}, ${onBatch.name}`,
      )
      for (const socket of [server, plain, client.socket]) socket.close()
    }
})

t.test('batch: ten thousand senders are each answered', onLinux, async t => {
  const io = await started(t, 'batch')
  const server = await io.open({ address: '127.10.3.1', port: 0, onBatch: echo })
  let asked = 0
  let answered = 0
  let wrong = 0
  let tell = (): void => {}
  const ask = async (): Promise<void> => {
    const n = asked++
    const socket = await io.open({
      address: `127.10.${4 + (n % 200)}.${1 + (n % 250)}`,
      port: 0,
      receiveBuffer: 4096,
      onBatch: batch => {
        if (String(bytesOf(batch, 0)) !== `sender ${n}`) wrong++
        batch.socket.close()
        answered++
        tell()
      },
    })
    say(io, socket, `sender ${n}`, server)
  }
  while (answered < 10_000) {
    while (asked < 10_000 && asked - answered < 200) await ask()
    await new Promise<void>(resolve => (tell = resolve))
  }
  t.equal(wrong, 0)
  t.equal(io.stats.sendDropped, 0)
})

t.test('createPacketIO says why it chose a body', async t => {
  const { io, reason } = await createPacketIO({ io: 'dgram' })
  io.close()
  t.match({ body: io.body, reason }, { body: 'dgram', reason: 'configured' })
  const none = async (): Promise<Libc> => {
    throw new Error('no such library')
  }
  const auto = await createPacketIO({ io: 'auto', libc: none })
  auto.io.close()
  t.equal(auto.io.body, 'dgram')
  t.match(auto.reason, linux ? /no such library/ : /batched I\/O cannot be had/)
  await t.rejects(createPacketIO({ io: 'batch', libc: none }), { code: 'ESTATE' })
  if (!linux) return
  const good = await createPacketIO({ io: 'auto' })
  good.io.close()
  t.equal(good.io.body, 'batch')
  const libc = await loadLibc()
  const deaf = { ...libc, recvmmsg: () => -1, errno: () => 11 }
  const failed = await createPacketIO({ io: 'auto', libc: async () => deaf })
  failed.io.close()
  t.match(failed.reason, /did not come back/, 'a self-test that fails')
})

t.test('addresses are read and written as RFC 5952 has them', async t => {
  for (const [text, canonical] of [
    ['192.0.2.1', '192.0.2.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8::', '2001:db8::'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['fe80::1%7', 'fe80::1%7'],
  ] as const) {
    const peer = inetPeer(text, 53)
    t.equal(peer.address, canonical)
    t.equal(inetPeer(peer.address, 53).address, canonical)
    t.equal(peer.port, 53)
  }
  for (const bad of [
    '',
    '192.0.2',
    '192.0.2.256',
    'fe80::1%no-such-interface',
    '1::2::3',
    'localhost',
  ]) {
    t.throws(() => inetPeer(bad, 53), { code: 'EUSAGE' })
  }
})

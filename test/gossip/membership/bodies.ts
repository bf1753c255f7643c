/** One suite for both networks: sockets and memory. */
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Body, BodyEvents, Endpoint } from '../../../src/gossip/net/body.ts'
import { MemoryNetwork } from '../../../src/gossip/net/memory.ts'
import { UdpTcpBody } from '../../../src/gossip/net/udp-tcp.ts'

type Heard = {
  packets: string[]
  streams: Map<number, string>
  from: Endpoint[]
  ended: number[]
  failed: number[]
}
type End = { body: Body; at: Endpoint; heard: Heard }

const until = async (holds: () => boolean): Promise<boolean> => {
  for (let i = 0; i < 400; i++) {
    if (holds()) return true
    await sleep(10)
  }
  return false
}

const opened = async (t: Test, body: Body, address: string): Promise<End> => {
  const heard: Heard = { packets: [], streams: new Map(), from: [], ended: [], failed: [] }
  const events: BodyEvents = {
    packet: (bytes, from) => {
      heard.packets.push(Buffer.from(bytes).toString())
      heard.from.push(from)
    },
    accepted: (id, from) => {
      heard.streams.set(id, '')
      heard.from.push(from)
    },
    data: (id, bytes) => heard.streams.set(id, (heard.streams.get(id) ?? '') + Buffer.from(bytes)),
    ended: id => heard.ended.push(id),
    failed: id => heard.failed.push(id),
  }
  const at = await body.open({ address, port: 0 }, events)
  t.teardown(() => body.close())
  return { body, at, heard }
}

const bodies: [string, () => () => Body, string, string][] = [
  ['udp and tcp', () => () => new UdpTcpBody(), '127.16.80.1', '127.16.80.2'],
  ['udp and tcp over IPv6', () => () => new UdpTcpBody(), '::1', '::1'],
  [
    'memory',
    () => {
      const network = new MemoryNetwork()
      return () => network.body()
    },
    '192.0.2.1',
    '192.0.2.2',
  ],
]

for (const [name, factory, one, two] of bodies) {
  t.test(`the body of ${name}`, async t => {
    const make = factory()
    const first = await opened(t, make(), one).catch((er: Error) => er)
    if (first instanceof Error) return t.plan(0, `SKIPPED: cannot bind ${one}`)
    const second = await opened(t, make(), two)
    const [a, b] = [first, second]

    await t.test('carries datagrams, with their sender', async t => {
      const bytes = Buffer.from('hello')
      a.body.send(b.at, bytes)
      bytes.fill(0)
      t.ok(await until(() => b.heard.packets.includes('hello')), 'as they were when sent')
      t.same(b.heard.from.at(-1), a.at)
      b.body.send(a.at, Buffer.alloc(1_400, 'x'))
      t.ok(await until(() => a.heard.packets.includes('x'.repeat(1_400))))
    })

    await t.test('carries a message each way on a stream', async t => {
      const long = 'y'.repeat(300_000)
      a.body.connect(1, b.at, Buffer.from(long))
      t.ok(await until(() => [...b.heard.streams.values()].includes(long)))
      const id = [...b.heard.streams.keys()].at(-1)!
      t.ok(id < 0)
      t.equal(b.heard.from.at(-1)?.address, a.at.address)
      b.body.end(id, Buffer.from('answer'))
      t.ok(await until(() => a.heard.streams.get(1) === 'answer' && a.heard.ended.includes(1)))
      a.body.drop(1)
      t.same(a.heard.failed, [])
    })

    await t.test('says once when nobody is there, or when a peer hangs up', async t => {
      a.body.connect(2, { address: b.at.address, port: 1 }, Buffer.from('x'))
      t.ok(await until(() => a.heard.failed.includes(2)))
      const before = new Set(b.heard.streams.keys())
      a.body.connect(3, b.at, Buffer.from('x'))
      t.ok(await until(() => [...b.heard.streams.keys()].some(id => !before.has(id))))
      b.body.drop([...b.heard.streams.keys()].at(-1)!)
      t.ok(await until(() => a.heard.failed.includes(3) || a.heard.ended.includes(3)))
      a.body.drop(3)
      a.body.end(3, Buffer.from('x'))
      a.body.drop(99)
      await sleep(20)
      t.equal(a.heard.failed.filter(id => id === 2).length, 1)
    })

    await t.test('takes no harm from addresses that came from the wire', async t => {
      for (const to of [
        { address: 'nonsense', port: 7 },
        { address: '', port: 0 },
        { address: '192.0.2.1', port: 99_999 },
        { address: '2001:db8::1', port: 7 },
      ]) {
        a.body.send(to, Buffer.from('x'))
        a.body.connect(50, to, Buffer.from('x'))
      }
      a.body.send(b.at, Buffer.alloc(70_000))
      a.body.send(b.at, Buffer.from('still here'))
      t.ok(await until(() => b.heard.packets.includes('still here')))
      a.body.drop(50)
    })

    await t.test('gives its port back and is silent once closed', async t => {
      const { port } = b.at
      await b.body.close()
      await b.body.close()
      b.body.send(a.at, Buffer.from('late'))
      const again = make()
      t.same(await again.open({ address: two, port }, b as unknown as BodyEvents), {
        address: two,
        port,
      })
      const third = make()
      await t.rejects(third.open({ address: two, port }, b as unknown as BodyEvents), {
        code: 'EBIND',
      })
      await again.close()
      t.notOk(a.heard.packets.includes('late'))
    })
  })
}

t.test('half-open streams are dropped at their deadline', async t => {
  const a = await opened(t, new UdpTcpBody({ streamMs: 200 }), '127.16.80.3')
  const socket = connect({ host: a.at.address, port: a.at.port })
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
  socket.on('error', () => {})
  socket.write('half')
  await closed
  t.equal(a.heard.failed.length, 1)
  // a peer that accepts our bytes and never answers
  const mute = createServer({ allowHalfOpen: true }, socket => t.teardown(() => socket.destroy()))
  t.teardown(() => mute.close())
  await new Promise<void>(resolve => mute.listen(0, '127.16.80.4', () => resolve()))
  const { port } = mute.address() as { port: number }
  a.body.connect(1, { address: '127.16.80.4', port }, Buffer.from('x'))
  t.ok(await until(() => a.heard.failed.includes(1)))
})

t.test('only so many streams are open to us at a time', async t => {
  const a = await opened(t, new UdpTcpBody(), '127.16.80.5')
  const sockets = Array.from({ length: 80 }, () =>
    connect({ host: a.at.address, port: a.at.port }).on('error', () => {}),
  )
  t.teardown(() => sockets.forEach(socket => socket.destroy()))
  t.ok(await until(() => a.heard.streams.size + a.body.stats.turnedAway === 80))
  t.equal(a.heard.streams.size, 48, 'from one address')
})

t.test('a cut between memory bodies stops packets and streams', async t => {
  const network = new MemoryNetwork()
  const a = await opened(t, network.body(), '192.0.2.1')
  const b = await opened(t, network.body(), '192.0.2.2')
  a.body.connect(1, b.at, Buffer.from('x'))
  t.ok(await until(() => b.heard.streams.size === 1))
  network.passes = () => false
  a.body.send(b.at, Buffer.from('x'))
  a.body.connect(2, b.at, Buffer.from('x'))
  b.body.end([...b.heard.streams.keys()][0]!, Buffer.from('x'))
  t.ok(await until(() => a.heard.failed.length === 2))
  t.same(b.heard.packets, [])
})

import t, { type Test } from 'tap'
import { fc } from '../fixture/property.ts'
import { createServer, type Server, type Socket } from 'node:net'
import type { Endpoint } from '../../src/boundary/messages.ts'
import { silent } from '../../src/base/log.ts'
import { masterOf, ZkMasters, type ZkMastersOptions } from '../../src/mesos/zookeeper/masters.ts'
import { Frames, parseZkUrl, Reader } from '../../src/mesos/zookeeper/wire.ts'

// A minimal ZooKeeper server. It encodes its messages itself instead of using our encoder.

const i32 = (n: number): Buffer => {
  const b = Buffer.alloc(4)
  b.writeInt32BE(n)
  return b
}
const i64 = (n: number): Buffer => Buffer.concat([i32(n < 0 ? -1 : 0), i32(n)])
const str = (s: string): Buffer => Buffer.concat([i32(Buffer.byteLength(s)), Buffer.from(s)])
const framed = (...parts: Buffer[]): Buffer => {
  const all = Buffer.concat(parts)
  return Buffer.concat([i32(all.length), all])
}
const STAT = Buffer.alloc(68)

class FakeZooKeeper {
  readonly nodes = new Map<string, string>()
  readonly server: Server
  readonly sockets = new Set<Socket>()
  readonly auths: string[] = []
  readonly #watchers = new Set<Socket>()
  /** What to do with a request instead of answering it. */
  twist: ((socket: Socket, op: number) => boolean) | undefined
  pings = 0

  constructor() {
    this.server = createServer(socket => this.#serve(socket))
  }

  async listen(address: string): Promise<Endpoint> {
    await new Promise<void>(resolve => this.server.listen(0, address, resolve))
    const bound = this.server.address()
    return { address, port: typeof bound === 'object' && bound ? bound.port : 0 }
  }

  set(nodes: Record<string, string>): void {
    this.nodes.clear()
    for (const [name, text] of Object.entries(nodes)) this.nodes.set(name, text)
    for (const socket of this.#watchers)
      socket.write(framed(i32(-1), i64(-1), i32(0), i32(4), i32(3), str('/mesos')))
    this.#watchers.clear()
  }

  drop(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  async close(): Promise<void> {
    this.drop()
    await new Promise(resolve => this.server.close(resolve))
  }

  #serve(socket: Socket): void {
    this.sockets.add(socket)
    socket.on('close', () => this.sockets.delete(socket)).on('error', () => {})
    let rest = Buffer.alloc(0)
    let open = false
    socket.on('data', chunk => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
        const message = rest.subarray(4, 4 + rest.readInt32BE(0))
        rest = rest.subarray(4 + message.length)
        if (open) this.#request(socket, message)
        else {
          open = true
          if (this.twist?.(socket, 0)) continue
          socket.write(
            framed(
              i32(0),
              i32(message.readInt32BE(12)),
              i64(7),
              str('sixteen octets!!'),
              Buffer.of(0),
            ),
          )
        }
      }
    })
  }

  #request(socket: Socket, message: Buffer): void {
    const xid = message.readInt32BE(0)
    const op = message.readInt32BE(4)
    if (this.twist?.(socket, op)) return
    const reply = (error: number, ...parts: Buffer[]): void =>
      void socket.write(framed(i32(xid), i64(9), i32(error), ...parts))
    if (op === 11) {
      this.pings++
      return reply(0)
    }
    if (op === 100) {
      this.auths.push(message.subarray(12).toString('latin1'))
      return reply(0)
    }
    if (op === -11) return reply(0)
    const path = message.toString('utf8', 12, 12 + message.readInt32BE(8))
    if (op === 4) {
      const text = this.nodes.get(path.slice('/mesos/'.length))
      return text === undefined ? reply(-101) : reply(0, str(text), STAT)
    }
    this.#watchers.add(socket)
    if (this.nodes.size === 0) return reply(-101)
    if (op === 3) return reply(0, STAT)
    const names = [...this.nodes.keys()]
    reply(0, i32(names.length), ...names.map(str))
  }
}

const info = (address: string, port = 5050): string =>
  JSON.stringify({
    address: { hostname: 'm', ip: address, port },
    pid: `master@${address}:${port}`,
  })

let block = 0
const fake = async (t: Test): Promise<{ zk: FakeZooKeeper; at: Endpoint }> => {
  const zk = new FakeZooKeeper()
  const at = await zk.listen(`127.15.3.${++block}`)
  t.teardown(() => zk.close())
  return { zk, at }
}

type Watched = {
  masters: ZkMasters
  changes: boolean[]
  until: (of: (list: readonly string[]) => boolean) => Promise<void>
}

const watched = (
  t: Test,
  at: readonly Endpoint[],
  more: Partial<ZkMastersOptions> = {},
): Watched => {
  const masters = new ZkMasters({
    url: `zk://${at.map(({ address, port }) => `${address}:${port}`).join(',')}/mesos`,
    fallback: ['203.0.113.9:5050'],
    detectionMs: 0,
    log: silent,
    random: () => 0,
    minMs: 5,
    maxMs: 10,
    ...more,
  })
  t.teardown(() => masters.close())
  const changes: boolean[] = []
  let wake = (): void => {}
  masters.onChange = leader => {
    changes.push(leader)
    wake()
  }
  masters.start()
  return {
    masters,
    changes,
    until: async of => {
      while (!of(masters.list)) await new Promise<void>(resolve => (wake = resolve))
    },
  }
}

t.test('the master with the lowest number leads, and changes are known at once', async t => {
  const { zk, at } = await fake(t)
  zk.set({
    'json.info_0000000012': info('203.0.113.2'),
    'json.info_0000000007': info('203.0.113.1'),
    log_replicas: '',
    info_0000000007: 'binary',
  })
  const { masters, changes, until } = watched(t, [at])
  t.strictSame(masters.list, ['203.0.113.9:5050'], 'until it is heard the configured ones count')
  await until(list => list.length === 2)
  t.strictSame(masters.list, ['203.0.113.1:5050', '203.0.113.2:5050'])
  zk.set({
    'json.info_0000000012': info('203.0.113.2'),
    'json.info_0000000013': info('203.0.113.1'),
  })
  await until(list => list[0] === '203.0.113.2:5050')
  t.strictSame(masters.list, ['203.0.113.2:5050', '203.0.113.1:5050'])
  zk.set({ 'json.info_0000000012': info('203.0.113.2') })
  await until(list => list.length === 1)
  t.strictSame(changes, [true, true, false], 'and whether another one leads')
})

t.test('no master at all is no reason to forget those that were', async t => {
  const { zk, at } = await fake(t)
  zk.set({ 'json.info_0000000001': info('203.0.113.1') })
  const { masters, until } = watched(t, [at])
  await until(list => list[0] === '203.0.113.1:5050')
  zk.set({})
  zk.set({ 'json.info_0000000002': info('203.0.113.2') })
  await until(list => list[0] === '203.0.113.2:5050')
  t.equal(masters.list.length, 1)
})

t.test('a path that comes later is found', async t => {
  const { zk, at } = await fake(t)
  const { until } = watched(t, [at])
  await new Promise<void>(resolve => {
    zk.twist = (_socket, op) => {
      if (op === 3) setImmediate(resolve)
      return false
    }
  })
  zk.set({ 'json.info_0000000002': info('2001:db8::2', 5051) })
  await until(list => list[0] === '[2001:db8::2]:5051')
})

t.test('another server of the ensemble is asked when one is gone', async t => {
  const first = await fake(t)
  const second = await fake(t)
  first.zk.set({ 'json.info_0000000001': info('203.0.113.1') })
  second.zk.set({
    'json.info_0000000001': info('203.0.113.1'),
    'json.info_0000000002': info('203.0.113.2'),
  })
  const { until } = watched(t, [first.at, second.at])
  await until(list => list.length === 1 && list[0] === '203.0.113.1:5050')
  await first.zk.close()
  await until(list => list.length === 2)
})

t.test('user and password are sent', async t => {
  const { zk, at } = await fake(t)
  zk.set({ 'json.info_0000000001': info('203.0.113.1') })
  const { until } = watched(t, [], { url: `zk://user:pass@${at.address}:${at.port}/mesos/` })
  await until(list => list[0] === '203.0.113.1:5050')
  t.match(zk.auths, [/digest.*user:pass/s])
})

t.test('a session is kept alive by pings and ends when the server goes silent', async t => {
  const { zk, at } = await fake(t)
  zk.set({ 'json.info_0000000001': info('203.0.113.1') })
  const { until } = watched(t, [at], { timeoutMs: 600 })
  await until(list => list[0] === '203.0.113.1:5050')
  while (zk.pings < 5) await new Promise(resolve => setTimeout(resolve, 10))
  t.equal(zk.sockets.size, 1, 'the same session for longer than its time-out')
  const [old] = zk.sockets
  zk.twist = socket => socket === old
  zk.nodes.set('json.info_0000000000', info('203.0.113.5'))
  await until(list => list[0] === '203.0.113.5:5050')
})

t.test('lies and nonsense end the session and not the process', async t => {
  const { zk, at } = await fake(t)
  zk.set({ 'json.info_0000000001': info('203.0.113.1') })
  const answers = [
    i32(-5),
    i32(2_000_000),
    framed(i32(1)),
    framed(i32(1), i64(0), i32(0), i32(2 ** 30)),
    framed(i32(1), i64(0), i32(0), i32(1), i32(2 ** 30)),
    framed(i32(1), i64(0), i32(-4)),
    framed(i32(0), i32(0)),
  ]
  let at0 = 0
  zk.twist = (socket, op) => {
    const answer = answers[at0]
    if (!answer || (op !== 8 && at0 !== answers.length - 1)) return false
    at0++
    socket.write(answer)
    return true
  }
  const { masters, until } = watched(t, [at])
  await until(list => list[0] === '203.0.113.1:5050')
  t.equal(at0, answers.length)
  t.equal(masters.list.length, 1)
})

t.test('no leader for too long is an error in the log, and the process lives on', async t => {
  const { at } = await fake(t)
  const said = new Promise<string>(resolve => {
    const log = { ...silent, error: (msg: string) => resolve(msg) }
    watched(t, [at], { detectionMs: 20, log })
  })
  t.match(await said, /no leading master/)
})

t.test('a zk URL is read as Mesos reads it', async t => {
  t.strictSame(parseZkUrl('zk://zk-1.zk:2181,zk-2.zk/mesos'), {
    servers: [
      { host: 'zk-1.zk', port: 2181 },
      { host: 'zk-2.zk', port: 2181 },
    ],
    path: '/mesos',
    credentials: '',
    secure: false,
  })
  t.match(parseZkUrl('zks://zk-1.zk/mesos'), { secure: true })
  t.match(parseZkUrl('zk://u:p@[2001:db8::1]:2182'), {
    servers: [{ host: '2001:db8::1', port: 2182 }],
    path: '/',
    credentials: 'u:p',
  })
  for (const bad of ['', 'zk://', 'http://zk-1.zk/mesos', 'zk://a:b/mesos', 'zk://a:99999/mesos'])
    t.equal(parseZkUrl(bad), undefined, bad)
})

t.test('what a node of a master holds may be anything', async t => {
  t.equal(masterOf(Buffer.from(info('::ffff:203.0.113.1'))), '203.0.113.1:5050')
  t.equal(
    masterOf(Buffer.from('{"address":{"hostname":"m.example.org","port":5050}}')),
    'm.example.org:5050',
  )
  for (const bad of [
    '',
    'x',
    '[]',
    'null',
    '{"address":null}',
    '{"address":{"ip":"203.0.113.1"}}',
    '{"address":{"ip":"a b","hostname":"a/b","port":1}}',
  ]) {
    t.equal(masterOf(Buffer.from(bad)), '', bad)
  }
})

t.test('no bytes make the reader run past a message or take more than it', async t => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), chunks => {
      const frames = new Frames()
      try {
        for (const chunk of chunks)
          for (const message of frames.push(Buffer.from(chunk))) new Reader(message).strings()
      } catch (er) {
        if ((er as { code?: string }).code !== 'EDATA') throw er
      }
    }),
    { numRuns: 300 },
  )
  t.pass()
})

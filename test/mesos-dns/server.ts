import t, { type Test } from 'tap'
import { decode, type DecodedPacket } from 'dns-packet'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Endpoint } from '../../src/boundary/messages.ts'
import { Http } from '../../src/http/client.ts'
import { startCluster, type Cluster } from '../../src/demo/cluster/cluster.ts'
import { silent, type Fields, type Log } from '../../src/base/log.ts'
import { settingsFromJson } from '../../src/mesos-dns/config.ts'
import { runMesosDns } from '../../src/mesos-dns/main.ts'
import { staticMasters } from '../../src/mesos/master-list.ts'
import { MesosDnsServer } from '../../src/mesos-dns/server.ts'
import { nameWire } from '../../src/wire/name.ts'
import { typeNumber } from '../../src/wire/codes.ts'

// The whole server on loopback: a Mesos that is played, real DNS, real HTTP.

const BASE = {
  externalOn: false,
  refreshSeconds: 1,
  listener: '127.15.6.1',
  httpListener: '127.15.6.1',
}

/** Starts the server with these keys in Mesos-DNS's configuration, on free ports. */
const serve = async (
  t: Test,
  masters: readonly string[],
  more: object = {},
): Promise<{ server: MesosDnsServer; dns: Endpoint; http: Endpoint }> => {
  const { settings } = settingsFromJson({ ...BASE, masters, ...more }, 'test', [])
  const server = new MesosDnsServer(
    {
      ...settings,
      listen: { ...settings.listen, port: 'port' in more ? settings.listen.port : 0 },
      httpListen: { ...settings.httpListen, port: 0 },
    },
    {
      log: silent,
      version: '0.0.0',
      http: new Http(),
      masters: staticMasters(masters),
      resolve: async () => [],
      random: Math.random,
      minMs: 20,
      maxMs: 50,
    },
  )
  t.teardown(() => server.close())
  server.start()
  const died = await Promise.race([server.ready, server.ended])
  if (died !== undefined) throw new Error(died)
  const { dns, http } = server.endpoints
  return { server, dns: dns[0]!, http: http! }
}

type Asked = DecodedPacket & { readonly size: number; readonly tc: boolean }

/** A query with this EDNS payload size; 0 for no EDNS. */
const query = (name: string, type: string, edns = 0): Buffer => {
  const head = Buffer.from('123401000001000000000000', 'hex')
  head[11] = edns > 0 ? 1 : 0
  const tail = Buffer.alloc(4)
  tail.writeUInt16BE(typeNumber(type)!, 0)
  tail.writeUInt16BE(1, 2)
  const opt = Buffer.from('0000291000000000000000', 'hex')
  opt.writeUInt16BE(edns, 3)
  return Buffer.concat([head, nameWire(name)!, tail, ...(edns > 0 ? [opt] : [])])
}

const udp = ({ address, port }: Endpoint, bytes: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    const again = setInterval(() => socket.send(bytes, port, address), 2_000)
    const done = (): void => {
      clearInterval(again)
      socket.close()
    }
    socket.on('error', er => {
      done()
      reject(er)
    })
    socket.on('message', answer => {
      done()
      resolve(answer)
    })
    socket.send(bytes, port, address)
  })

const tcp = ({ address, port }: Endpoint, bytes: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, address, () => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(bytes.length)
      socket.write(Buffer.concat([length, bytes]))
    })
    let got = Buffer.alloc(0)
    socket.on('error', reject).on('data', chunk => {
      got = Buffer.concat([got, chunk])
      if (got.length < 2 || got.length < 2 + got.readUInt16BE(0)) return
      socket.destroy()
      resolve(got.subarray(2))
    })
  })

const ask = async (
  at: Endpoint,
  name: string,
  type: string,
  edns = 0,
  over = udp,
): Promise<Asked> => {
  const wire = await over(at, query(name, type, edns))
  return { ...decode(wire), size: wire.length, tc: (wire[2]! & 2) !== 0 }
}

const rcode = (of: Asked): string => (of as { rcode?: string }).rcode ?? ''
const data = (of: Asked): string[] =>
  (of.answers ?? [])
    .map(one =>
      'data' in one
        ? String(typeof one.data === 'object' ? JSON.stringify(one.data) : one.data)
        : '',
    )
    .sort()

/** A port that nothing listens on. */
const freePort = (address: string): Promise<number> =>
  new Promise(resolve => {
    const probe = createServer().listen(0, address, () => {
      const at = probe.address()
      probe.close(() => resolve(typeof at === 'object' && at ? at.port : 0))
    })
  })

/** A master that serves the recorded state, without the operator API. */
const recording = async (t: Test): Promise<string> => {
  const fixture = readFileSync(
    new URL('../fixture-data/mesos-dns/mesos-master-state.json', import.meta.url),
    'utf8',
  )
  let at = ''
  const server = createServer((req, res) => {
    if (req.method !== 'GET') return void res.writeHead(404).end()
    res
      .writeHead(200, { 'content-type': 'application/json' })
      .end(fixture.replaceAll('127.0.1.1:5050', at))
  })
  await new Promise<void>(resolve => server.listen(0, '127.15.6.2', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const bound = server.address()
  at = `127.15.6.2:${typeof bound === 'object' && bound ? bound.port : 0}`
  return at
}

t.test('the server answers rightly where the original is wrong for its users', async t => {
  const { dns, http } = await serve(t, [await recording(t)])
  const big = await ask(dns, 'worker.marathon.mesos', 'A', 1232)
  t.equal(big.answers?.length, 40, 'EDNS is heard')
  t.notOk(big.tc)
  const small = await ask(dns, 'worker.marathon.mesos', 'A')
  t.ok(small.tc && small.size <= 512, 'without it 512 octets are the limit')
  t.equal((await ask(dns, 'worker.marathon.mesos', 'A', 0, tcp)).answers?.length, 40)

  const unknown = await ask(dns, '_nosuch._tcp.marathon.mesos', 'SRV')
  t.equal(rcode(unknown), 'NXDOMAIN')
  t.match(unknown.authorities, [
    { type: 'SOA', name: 'mesos', data: { mname: 'ns1.mesos', rname: 'root.ns1.mesos' } },
  ])
  t.match(await ask(dns, 'redis.marathon.mesos', 'SRV'), {
    answers: [],
    authorities: [{ type: 'SOA', name: 'mesos' }],
  })

  const parent = await ask(dns, 'marathon.slave.mesos', 'A')
  t.equal(rcode(parent), 'NOERROR', 'a name above others exists')
  t.match(parent.authorities, [{ type: 'SOA', name: 'mesos' }])
  t.match(await ask(dns, 'mesos', 'SOA'), { answers: [{ type: 'SOA', name: 'mesos' }] })
  t.match(await ask(dns, 'mesos', 'NS'), {
    answers: [{ type: 'NS', name: 'mesos', data: 'ns1.mesos' }],
  })

  const cased = await ask(dns, 'ReDiS.Marathon.MESOS', 'A')
  t.match(cased, {
    questions: [{ name: 'ReDiS.Marathon.MESOS' }],
    answers: [{ name: 'ReDiS.Marathon.MESOS', data: '10.0.0.12' }],
  })
  t.match(await ask(dns, '_http._web-shop._tcp.marathon.mesos', 'SRV'), {
    answers: [{ ttl: 60, data: { priority: 0, weight: 1, port: 8080 } }, {}],
    additionals: [{ type: 'A' }, { type: 'A' }],
  })
  const client = new Http()
  t.teardown(() => client.close())
  t.match(
    await client.getJson(`http://${http.address}:${http.port}/v1/hosts/redis.marathon.mesos`),
    [{ host: 'redis.marathon.mesos.', ip: '10.0.0.12' }],
  )
})

t.test('the server answers as the original under compat', async t => {
  const { dns } = await serve(t, [await recording(t)], { compat: 'mesos-dns' })
  const big = await ask(dns, 'worker.marathon.mesos', 'A', 4096)
  t.match([big.answers?.length, big.tc, big.size], [29, true, 503])
  t.equal((await ask(dns, 'worker.marathon.mesos', 'A', 0, tcp)).size, 679)
  t.match(await ask(dns, 'nosuch.marathon.mesos', 'SRV'), { answers: [], authorities: [] })
  const soa = await ask(dns, 'NoSuch.Marathon.MESOS', 'A')
  t.match(soa, {
    rcode: 'NXDOMAIN',
    authorities: [{ name: 'NoSuch.Marathon.MESOS', type: 'SOA', ttl: 60, data: { minimum: 60 } }],
  })
  t.equal(rcode(await ask(dns, 'marathon.slave.mesos', 'A')), 'NXDOMAIN')
})

const cluster = async (t: Test): Promise<Cluster> => {
  const made = await startCluster({
    masters: [11, 12, 13].map(i => ({ address: `127.15.6.${i}`, port: 0 })),
    agents: [14, 15].map(i => ({ address: `127.15.6.${i}`, port: 0 })),
    now: Date.now,
    random: Math.random,
    reregisterMs: 100,
  })
  t.teardown(() => made.close())
  return made
}

const shown = ({ address, port }: Endpoint): string => `${address}:${port}`

/** Repeats until the value matches. */
const until = async <T>(make: () => Promise<T>, of: (value: T) => boolean): Promise<T> => {
  for (;;) {
    const value = await make()
    if (of(value)) return value
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

t.test('names follow tasks, and another leader, without a gap', async t => {
  const mesos = await cluster(t)
  const { dns } = await serve(t, mesos.masters.map(shown))
  const web = async (): Promise<string[]> => data(await ask(dns, 'web.marathon.mesos', 'A'))
  t.equal((await web()).length, 3)
  t.equal(rcode(await ask(dns, 'canary.marathon.mesos', 'A')), 'NXDOMAIN')
  t.match(mesos.step(), /canary appears/)
  const canary = await until(
    () => ask(dns, 'canary.marathon.mesos', 'A'),
    of => rcode(of) === 'NOERROR',
  )
  t.match(data(canary), [/^192\.0\.2\./])
  t.strictSame(data(await ask(dns, 'leader.mesos', 'A')), ['127.15.6.11'])
  t.match(data(await ask(dns, '_framework._tcp.marathon.mesos', 'SRV')), [/"port":8080/])

  const before = await web()
  await mesos.killMaster(0)
  await until(
    async () => {
      t.strictSame(await web(), before)
      return data(await ask(dns, 'leader.mesos', 'A'))
    },
    leader => leader[0] === '127.15.6.12',
  )
  t.strictSame(await web(), before)
  for (const i of [1, 2]) await mesos.killMaster(i)
  t.strictSame(await web(), before, 'and while no master is left')
  t.strictSame(data(await ask(dns, 'master.mesos', 'A')), [
    '127.15.6.11',
    '127.15.6.12',
    '127.15.6.13',
  ])
})

t.test('nothing is served before the first state, and the server waits for it', async t => {
  const mesos = await cluster(t)
  for (const i of [0, 1, 2]) await mesos.killMaster(i)
  const { settings } = settingsFromJson({ ...BASE, masters: mesos.masters.map(shown) }, 'test', [])
  const server = new MesosDnsServer(
    {
      ...settings,
      listen: { ...settings.listen, port: 0 },
      httpListen: { ...settings.httpListen, port: 0 },
    },
    {
      log: silent,
      version: '0',
      http: new Http(),
      masters: staticMasters(settings.masters),
      resolve: async () => [],
      random: () => 0,
      minMs: 20,
      maxMs: 20,
    },
  )
  t.teardown(() => server.close())
  server.start()
  await until(
    async () => server.status.follower,
    ({ counts }) => Object.keys(counts.failures).length > 0,
  )
  t.strictSame(server.endpoints, { dns: [], http: undefined })
  await mesos.startMaster(1)
  await server.ready
  const [dns] = server.endpoints.dns
  // a new leader whose agents have not registered yet gives SERVFAIL at first
  const leader = await until(
    async () => ask(dns!, 'leader.mesos', 'A'),
    of => rcode(of) !== 'SERVFAIL',
  )
  t.strictSame(data(leader), ['127.15.6.12'])
})

t.test('what is outside the domain goes to the resolvers', async t => {
  const resolver = createSocket('udp4')
  resolver.on('message', (bytes, from) => {
    const answer = Buffer.concat([bytes.subarray(0, bytes.length), Buffer.alloc(0)])
    answer[2] = answer[2]! | 0x80
    answer[3] = 0x83
    resolver.send(answer, from.port, from.address)
  })
  await new Promise<void>(resolve => resolver.bind(0, '127.15.6.3', resolve))
  t.teardown(() => resolver.close())
  const { dns } = await serve(t, [await recording(t)], {
    externalOn: true,
    resolvers: [`127.15.6.3:${resolver.address().port}`],
  })
  t.equal(rcode(await ask(dns, 'nosuch.example.org', 'A')), 'NXDOMAIN')
  t.equal(rcode(await ask(dns, 'redis.marathon.mesos', 'A')), 'NOERROR')
})

t.test(
  'without resolvers what is outside the domain is refused, with a resolved zone beside it',
  async t => {
    const master = await recording(t)
    for (const compat of [{}, { compat: 'mesos-dns' }]) {
      const { dns } = await serve(t, [master], { externalOn: true, resolvers: [], ...compat })
      for (const over of [udp, tcp])
        t.equal(rcode(await ask(dns, 'nosuch.example.org', 'A', 0, over)), 'REFUSED')
      t.equal(rcode(await ask(dns, 'redis.marathon.mesos', 'A')), 'NOERROR')
    }
  },
)

t.test('who may not ask is refused, under compat as elsewhere', async t => {
  const master = await recording(t)
  for (const compat of [{}, { compat: 'mesos-dns' }]) {
    const { dns } = await serve(t, [master], { allow: ['192.0.2.0/24'], ...compat })
    t.equal(rcode(await ask(dns, 'redis.marathon.mesos', 'A', 0, udp)), 'REFUSED')
  }
})

t.test('SIGHUP brings another configuration in, and a bad one leaves the old', async t => {
  const dir = t.testdir({})
  mkdirSync(dir, { recursive: true })
  const file = join(dir, 'config.json')
  const [one, other] = [await freePort('127.15.6.7'), await freePort('127.15.6.7')]
  const master = await recording(t)
  const config = (more: object): void =>
    writeFileSync(
      file,
      JSON.stringify({
        ...BASE,
        masters: [master],
        listener: '127.15.6.7',
        port: one,
        httpOn: false,
        ...more,
      }),
    )
  config({ ttl: 1_100 })
  let stop = (): void => {}
  const lines: string[] = []
  const told = async (msg: string): Promise<void> => {
    while (!lines.includes(msg)) await new Promise(resolve => setTimeout(resolve, 5))
    lines.length = 0
  }
  const say = (msg: string): void => void lines.push(msg)
  const log: Log = { debug: say, info: say, warn: say, error: say, child: () => log }
  const ended = runMesosDns({
    configPath: file,
    until: new Promise<void>(resolve => (stop = resolve)),
    log,
  })
  const ttl = async (port: number): Promise<unknown> => {
    const { answers } = await ask({ address: '127.15.6.7', port }, 'redis.marathon.mesos', 'A')
    return answers?.[0] && 'ttl' in answers[0] ? answers[0].ttl : undefined
  }
  /** A TTL falls while its answer is kept. */
  const as = (configured: number, shown: unknown): boolean =>
    Number(shown) <= configured && Number(shown) > configured - 100
  const reload = async (msg: string): Promise<void> => {
    process.emit('SIGHUP', 'SIGHUP')
    await told(msg)
  }
  await told('ready')
  t.ok(as(1100, await ttl(one)))
  config({ ttl: 1_200 })
  await reload('reloaded')
  t.ok(as(1200, await ttl(one)), 'on the same port')
  config({ ttl: -1 })
  await reload('reload refused, the old configuration stays')
  t.ok(as(1200, await ttl(one)))
  config({ ttl: 1_300, masters: ['127.15.6.8:1'] })
  await reload('reloading; what is served stays until the new configuration has a state')
  t.ok(as(1200, await ttl(one)), 'masters that give nothing replace nothing')
  const taken = createServer().listen(0, '127.15.6.7')
  await once(taken, 'listening')
  config({ ttl: 1_500, port: (taken.address() as { port: number }).port })
  await reload('reload refused, the old configuration stays')
  t.ok(as(1200, await ttl(one)), 'a port that somebody else has')
  taken.close()
  config({ ttl: 1_600, listener: '203.0.113.9' })
  await reload('reload refused, the old configuration stays')
  t.ok(as(1200, await ttl(one)), 'an address that is not on this host')
  config({ ttl: 1_400, port: other })
  await reload('reloaded')
  t.ok(as(1400, await ttl(other)))
  stop()
  t.equal(await ended, 0)
})

t.test(
  '0.0.0.0 is every address of the host, those that come later included',
  { skip: process.platform !== 'linux' },
  async t => {
    const port = await freePort('0.0.0.0')
    const { server, dns } = await serve(t, [await recording(t)], { listener: '0.0.0.0', port })
    t.strictSame(server.endpoints.dns, [{ address: '0.0.0.0', port }])
    t.equal(dns.port, port)
    // no interface lists this address, as none lists one that comes later
    const reply = await ask({ address: '127.15.6.77', port }, 'redis.marathon.mesos', 'A')
    t.strictSame(data(reply), ['10.0.0.12'], 'answered from the address that was asked')
  },
)

t.test('a program run from a file is ready, answers, and ends with 0', async t => {
  const dir = t.testdir({})
  const file = join(dir, 'config.json')
  const free = await freePort('127.15.6.4')
  mkdirSync(dir, { recursive: true })
  writeFileSync(
    file,
    JSON.stringify({
      ...BASE,
      masters: [await recording(t)],
      listener: '127.15.6.4',
      port: free,
      httpOn: false,
    }),
  )
  let stop = (): void => {}
  let ready = (): void => {}
  const isReady = new Promise<void>(resolve => (ready = resolve))
  const lines: string[] = []
  const say = (msg: string, _fields?: Fields): void => {
    lines.push(msg)
    if (msg === 'ready') ready()
  }
  const log: Log = { debug: say, info: say, warn: say, error: say, child: () => log }
  const ended = runMesosDns({
    configPath: file,
    until: new Promise<void>(resolve => (stop = resolve)),
    log,
  })
  await isReady
  t.strictSame(
    data(await ask({ address: '127.15.6.4', port: free }, 'redis.marathon.mesos', 'A')),
    ['10.0.0.12'],
  )
  stop()
  t.equal(await ended, 0)
  t.ok(lines.includes('starting') && lines.includes('stopping'))
})

t.test('a signal ends a program with 0', async t => {
  const dir = t.testdir({
    'c.json': JSON.stringify({ ...BASE, masters: ['127.15.6.5:5050'], dnsOn: false }),
  })
  const lines: string[] = []
  const log: Log = { ...silent, info: msg => void lines.push(msg), child: () => log }
  const ended = runMesosDns({ configPath: join(dir, 'c.json'), log })
  while (!lines.includes('starting')) await new Promise(resolve => setTimeout(resolve, 5))
  process.emit('SIGTERM', 'SIGTERM')
  t.equal(await ended, 0)
})

t.test('a configuration that cannot be used ends with 2 and says why', async t => {
  const dir = t.testdir({ 'bad.json': '{"masters": ["203.0.113.1:5050"], "port": 0}' })
  const said: string[] = []
  const write = process.stderr.write.bind(process.stderr)
  process.stderr.write = ((text: string) => said.push(text) > 0) as typeof process.stderr.write
  t.teardown(() => (process.stderr.write = write))
  t.equal(await runMesosDns({ configPath: join(dir, 'bad.json') }), 2)
  t.match(said.join(''), /bad\.json: port must be a whole number/)
})

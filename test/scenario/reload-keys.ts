/**
 * Changes every key of the configuration by reloads in one running daemon: either the daemon's behaviour shows the
 * new value, or the reload reports that a restart is needed. Meanwhile a stream of queries gets no wrong answer and
 * loses none.
 */
import t from 'tap'
import { once } from 'node:events'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createServer as createTcpServer } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KEYS } from '../../src/config/schema.ts'
import type { ReloadOutcome } from '../../src/daemon/reloader.ts'
import { askDaemon } from '../../src/http/admin-client.ts'
import { ownAddress } from '../fixture/address.ts'
import { ask, openTcp, type Reply } from '../fixture/client.ts'
import { Authority, hasOpenssl, pems } from '../fixture/certificates.ts'
import { decode, dnstapReader, messageIn } from '../fixture/dnstap-reader.ts'
import { daemon, type Settings } from '../fixture/daemon.ts'
import { agentState, masterState } from '../fixture/mesos.ts'
import { queryStream } from '../fixture/query-stream.ts'
import { A, SOA } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'
import { framed } from '../fixture/wire.ts'
import { query } from '../fixture/client.ts'

t.setTimeout(900_000)

const dir = mkdtempSync(join(tmpdir(), 'spartan-test-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
const text = (name: string, content: string): string => {
  const path = join(dir, name)
  writeFileSync(path, content, { mode: 0o600 })
  return path
}
const file = (name: string, content: unknown): string => text(name, JSON.stringify(content))

/** Waits until this is true. */
const until = async (so: () => Promise<boolean> | boolean): Promise<void> => {
  for (let n = 0; n < 200 && !(await so()); n++) await sleep(50)
}

const STEADY = [
  A('hit.steady.example. 3600 203.0.113.8'),
  A('masters.steady.example. 3600 127.9.9.4'),
]
const stream = await queryStream(t, 'stream.example', 500)
const steady = await upstream(t, STEADY)
const one = await upstream(t, [A('who.example.org. 1 203.0.113.1')])
let oldFails = false
const two = await upstream(t, [
  { name: 'old.example.org', rcode: 'SERVFAIL', when: () => oldFails },
  A('who.example.org. 1 203.0.113.2'),
  A('short.example.org. 1 203.0.113.2'),
  A('long.example.org. 3600 203.0.113.2'),
  A('old.example.org. 1 203.0.113.2'),
  SOA('example.org. 60 ns.example.org. root.example.org. 1 60 600 86400 60'),
  A('www.corp.example. 60 203.0.113.3'),
])
const slow = await upstream(t, [
  A('a.slow.example. 60 203.0.113.4'),
  A('b.slow.example. 60 203.0.113.4'),
  { delay: 3_000 },
])

const CLUSTER = {
  tasks: [
    {
      id: 'mapped',
      name: 'mapped',
      ips: ['9.0.0.1'],
      mappings: [[31_000, 80]] as const,
      ports: [{ number: 80, protocol: 'tcp', labels: { VIP_0: '/mapped:80' } }],
    },
  ],
}
const NOT_HERE = { error: 'not here' }
/** Everything that is fetched over HTTP: the path that was asked, and who said they ask. */
const asked: string[] = []
const web = createServer((req, res) => {
  const path = (req.url ?? '').split('?')[0] ?? ''
  asked.push(`${req.url} ${req.headers.authorization ?? ''}`)
  const body = {
    '/list': ['127.9.9.2'],
    '/exhibitor/v1/cluster/status': [{ hostname: '127.9.9.3' }],
    '/polled/state': masterState(CLUSTER, req.headers.host ?? ''),
    '/polled/api/v1': NOT_HERE,
    '/tasks/api/v1': agentState(CLUSTER),
    '/login': { token: 'header.claims.signature' },
  }[path]
  // A master without an operator API is polled.
  res.writeHead(body === undefined ? 503 : body === NOT_HERE ? 404 : 200, {
    'content-type': 'application/json',
  })
  res.end(JSON.stringify(body ?? NOT_HERE))
}).listen(0, ownAddress())
await once(web, 'listening')
t.teardown(() => web.close())
const { address: webHost, port: webPort } = web.address() as { address: string; port: number }
const base = `http://${webHost}:${webPort}`
const fetched = async (part: string): Promise<boolean> => {
  const before = asked.length
  await until(() => asked.slice(before).some(path => path.includes(part)))
  return asked.slice(before).some(path => path.includes(part))
}

/** A ZooKeeper that opens a session and says nothing more. */
let toZooKeeper = ''
const zooKeeper = createTcpServer(socket => {
  socket.on('error', () => {})
  socket.on('data', chunk => (toZooKeeper += chunk.toString('latin1')))
  socket.once('data', () => {
    const opened = Buffer.alloc(4 + 37)
    opened.writeInt32BE(37)
    opened.writeInt32BE(30_000, 8)
    opened.writeInt32BE(16, 20)
    socket.write(opened)
  })
}).listen(0, ownAddress())
await once(zooKeeper, 'listening')
t.teardown(() => zooKeeper.close())
const zkPlace = zooKeeper.address() as { address: string; port: number }
const zkUrl = `zk://${zkPlace.address}:${zkPlace.port}/mesos`
const zkHears = async (what: string): Promise<boolean> => {
  await until(() => toZooKeeper.includes(what))
  return toZooKeeper.includes(what)
}

if (!hasOpenssl)
  process.stderr.write('SKIPPED: mesos.tls over a reload: openssl is not installed\n')
/** A master over TLS, and whom it was asked by. */
const secure = { url: '', ca: '', mine: { cert: '', key: '' }, asked: [] as string[] }
if (hasOpenssl) {
  const authority = new Authority(dir)
  const address = ownAddress()
  const server = createSecureServer(
    {
      ...pems(authority.issue(address)),
      ca: readFileSync(authority.ca),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (req, res) => {
      secure.asked.push((req.socket as TLSSocket).authorized ? 'known' : 'unknown')
      res.writeHead(503).end()
    },
  ).listen(0, address)
  await once(server, 'listening')
  t.teardown(() => server.close())
  secure.url = `https://${address}:${(server.address() as { port: number }).port}`
  secure.ca = authority.ca
  secure.mine = authority.issue()
}
const overTls = (tls: object) => (): Settings => ({
  mesos: { master: secure.url, leaderOnly: false, tls },
})
const askedBy = (who: string) => async (): Promise<boolean> => {
  secure.asked.length = 0
  await until(() => secure.asked.includes(who))
  return secure.asked.includes(who)
}
const withAuth = (auth: object) => (): Settings => ({
  mesos: { master: `${base}/mesos-b`, leaderOnly: false, auth },
})

const seed = createTcpServer(socket => socket.destroy()).listen(0, ownAddress())
await once(seed, 'listening')
const seedCalled = once(seed, 'connection')
t.teardown(() => seed.close())
/** A master that may be a seed: at the port at which the daemon's own gossip listens. */
const masterSeed = createTcpServer(socket => socket.destroy()).listen(7946, steady.address)
await once(masterSeed, 'listening')
const masterCalled = once(masterSeed, 'connection')
t.teardown(() => masterSeed.close())
const key = (octet: number): string => Buffer.alloc(32, octet).toString('base64')

const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()

const VIPS = {
  vips: [
    {
      vip: '/web:80',
      framework: 'marathon',
      protocol: 'tcp',
      backends: ['192.0.2.7:31000', '[2001:db8::7]:31000'],
    },
  ],
}
const VIP_NAME = 'web.marathon.l4lb.thisdcos.directory'
const gossip = { bind: `${ownAddress()}:7946`, seeds: [], keyring: file('keyring', [key(1)]) }
const start: Settings = {
  forwardZones: {
    'stream.example': [stream.upstream],
    'steady.example': [steady.name],
    'slow.example': [slow.name],
  },
  upstreams: [one.name],
  masters: { addresses: ['127.9.9.1'] },
  vips: { files: [file('vips.json', VIPS)], answer: 'vip' },
  mesos: { master: `${base}/mesos-a` },
  gossip,
}
const d = await daemon(t, start)
const at = d.at

let settings = start
/** Replaces these sections of the file; returns the result of the reload. */
const reload = async (over: Settings): Promise<ReloadOutcome> => {
  settings = { ...settings, ...over }
  d.configure(settings)
  const { json } = await askDaemon(
    { socket: d.socket, listen: undefined },
    { method: 'POST', path: '/v1/reload', deadlineMs: 60_000 },
  )
  return json as ReloadOutcome
}
const first = async (name: string, type = 'A'): Promise<string> =>
  (await ask(at, name, type, { timeout: 30_000 })).answers.at(-1)?.data ?? ''
const zk = (address: string) => async (): Promise<boolean> => {
  await until(async () => (await first('zk-1.zk')) === address)
  return (await first('zk-1.zk')) === address
}
const becomes = (name: string, type: string, like: RegExp) => async (): Promise<boolean> => {
  await until(async () => like.test(await first(name, type)))
  return like.test(await first(name, type))
}
const replied = async (name: string, is: (reply: Reply) => boolean): Promise<boolean> =>
  is(await ask(at, name, 'A', { timeout: 30_000 }))

stream.start(at)

/** A reader of dnstap; the section that names it. */
const tap: Record<string, unknown> = { socket: join(dir, 'tap.sock') }
const tapReader = await dnstapReader(t, join(dir, 'tap.sock'))
/** Whether the newest connection soon has frames, all of which are like that. Each reload begins another. */
const shown = async (so: (frame: Buffer) => boolean): Promise<boolean> => {
  const all = (): boolean => tapReader.newest.length > 0 && tapReader.newest.every(so)
  await until(all)
  return all()
}

/** A key that applies at once: what the file says, and whether it acts. Later rows build on earlier ones. */
type Row = readonly [
  key: string,
  over: () => Settings | Promise<Settings>,
  acts: () => Promise<boolean> | boolean,
]

const cache: Record<string, unknown> = {}
const race: Record<string, unknown> = {}
const limits: Record<string, unknown> = {}
const vips: Record<string, unknown> = { ...(start['vips'] as object) }
const add = (to: Record<string, unknown>, name: string, section: string, value: unknown) => () => {
  to[name] = value
  return { [section]: { ...to } }
}

const ROWS: readonly Row[] = [
  [
    // First, because from then on no miss fails where the machine is slow.
    'race.deadline',
    add(race, 'deadline', 'race', '20s'),
    async () => {
      await stream.misses(true)
      return (await first('a.slow.example')) === '203.0.113.4'
    },
  ],
  [
    'identity',
    () => ({ identity: false }),
    async () => (await ask(at, 'version.bind', 'TXT', { class: 'CH' })).status === 'REFUSED',
  ],
  [
    'upstreams',
    () => ({ upstreams: [two.name] }),
    async () => (await first('who.example.org')) === '203.0.113.2',
  ],
  [
    'forwardZones',
    () => ({ forwardZones: { ...(start['forwardZones'] as object), 'corp.example': [two.name] } }),
    async () => (await first('www.corp.example')) === '203.0.113.3',
  ],
  [
    'zones',
    () => ({ zones: { st: { a: 'hit.steady.example' } } }),
    becomes('a.st.thisdcos.directory', 'A', /^203\.0\.113\.8$/),
  ],
  [
    'clusterId',
    () => ({ clusterId: 'abc' }),
    becomes('a.st.abc.dcos.directory', 'A', /^203\.0\.113\.8$/),
  ],
  [
    'allow',
    () => ({ allow: ['127.0.0.1/32'] }),
    async () => (await ask(at, 'ready.spartan', 'A', { from: ownAddress() })).status === 'REFUSED',
  ],
  [
    'cache.minTtl',
    add(cache, 'minTtl', 'cache', '100s'),
    () => replied('short.example.org', r => (r.answers[0]?.ttl ?? 0) > 50),
  ],
  [
    'cache.maxTtl',
    add(cache, 'maxTtl', 'cache', '200s'),
    () => replied('long.example.org', r => (r.answers[0]?.ttl ?? 999) <= 200),
  ],
  [
    'cache.maxNegativeTtl',
    () => {
      cache['minTtl'] = '0s'
      return add(cache, 'maxNegativeTtl', 'cache', '3s')()
    },
    () =>
      replied(
        'nothing.example.org',
        r => r.status === 'NXDOMAIN' && (r.authority[0]?.ttl ?? 999) <= 3,
      ),
  ],
  [
    'cache.serveStale',
    add(cache, 'serveStale', 'cache', '0s'),
    async () => {
      await first('old.example.org')
      oldFails = true
      await sleep(2_500)
      return replied('old.example.org', r => r.status === 'SERVFAIL')
    },
  ],
  [
    'cache.snapshot',
    add(cache, 'snapshot', 'cache', join(dir, 'cache')),
    () => existsSync(join(dir, 'cache')),
  ],
  [
    'limits.tcpIdle',
    add(limits, 'tcpIdle', 'limits', '300ms'),
    async () => {
      const { closed } = await openTcp(at)
      await closed
      return true
    },
  ],
  [
    'limits.tcpConnections',
    () => {
      limits['tcpIdle'] = '60s'
      return add(limits, 'tcpConnections', 'limits', 1)()
    },
    async () => {
      const held = await openTcp(at)
      held.socket.write(framed(query('ready.spartan')))
      await held.next()
      const { closed } = await openTcp(at)
      await closed
      held.socket.destroy()
      return true
    },
  ],
  [
    'limits.inFlight',
    async () => {
      await stream.misses(false)
      limits['tcpConnections'] = 100
      return add(limits, 'inFlight', 'limits', 1)()
    },
    async () => {
      slow.set([{ delay: 3_000, rcode: 'NXDOMAIN' }])
      const both = await Promise.all(
        ['c', 'd'].map(n => ask(at, `${n}.slow.example`, 'A', { timeout: 30_000 })),
      )
      return both.some(r => r.status === 'SERVFAIL')
    },
  ],
  [
    'masters.addresses',
    () => {
      limits['inFlight'] = 4096
      return { limits, masters: { addresses: ['127.9.9.9'] } }
    },
    async () => {
      await stream.misses(true)
      return zk('127.9.9.9')()
    },
  ],
  [
    'masters.source',
    () => ({ masters: { source: 'file', file: file('masters.json', ['127.9.9.5']) } }),
    zk('127.9.9.5'),
  ],
  [
    'masters.file',
    () => ({ masters: { source: 'file', file: file('others.json', ['127.9.9.6']) } }),
    zk('127.9.9.6'),
  ],
  ['masters.url', () => ({ masters: { source: 'url', url: `${base}/list` } }), zk('127.9.9.2')],
  [
    'stateDir',
    () => ({ stateDir: join(dir, 'state') }),
    async () => {
      await until(() => existsSync(join(dir, 'state', 'masters.json')))
      return existsSync(join(dir, 'state', 'masters.json'))
    },
  ],
  [
    'masters.refresh',
    () => ({ masters: { source: 'url', url: `${base}/list`, refresh: '1s' } }),
    async () => (await fetched('/list')) && (await fetched('/list')),
  ],
  [
    'masters.exhibitor',
    () => ({ masters: { source: 'exhibitor', exhibitor: base } }),
    zk('127.9.9.3'),
  ],
  [
    'masters.retry',
    () => ({ masters: { source: 'url', url: `${base}/missing`, retry: '200ms' } }),
    async () => (await fetched('/missing')) && (await fetched('/missing')),
  ],
  [
    'masters.name',
    () => ({ masters: { source: 'dns', name: 'masters.steady.example' } }),
    zk('127.9.9.4'),
  ],
  ['masters.zk', () => ({ masters: { source: 'zk', zk: zkUrl } }), () => zkHears('\0')],
  [
    'masters.zkDigest',
    () => ({ masters: { source: 'zk', zk: zkUrl, zkDigest: text('digest', 'user:word') } }),
    () => zkHears('user:word'),
  ],
  [
    'masters.port',
    () => ({ masters: { addresses: [two.address], port: two.port } }),
    async () => {
      two.set([A('web.mesos. 60 192.0.2.1')])
      return (await first('web.mesos')) === '192.0.2.1'
    },
  ],
  [
    'race.grace',
    () => {
      one.set([{ name: 'late.mesos', rcode: 'NXDOMAIN' }])
      two.set([A('late.mesos. 60 192.0.2.2'), { name: 'late.mesos', delay: 1_500 }])
      steady.set([...STEADY, A('late.mesos. 60 192.0.2.2'), { name: 'late.mesos', delay: 1_500 }])
      race['grace'] = '10s'
      return { race: { ...race }, masters: { addresses: [one, two, steady].map(u => u.name) } }
    },
    async () => (await first('late.mesos')) === '192.0.2.2',
  ],
  [
    'vips.answer',
    add(vips, 'answer', 'vips', 'backends'),
    becomes(VIP_NAME, 'A', /^192\.0\.2\.7$/),
  ],
  [
    'vips.enableIpv6',
    add(vips, 'enableIpv6', 'vips', false),
    async () => {
      await until(async () => (await first(VIP_NAME, 'AAAA')) === '')
      return (await first(VIP_NAME, 'AAAA')) === ''
    },
  ],
  [
    'vips.range.min',
    () => {
      vips['answer'] = 'vip'
      vips['enableIpv6'] = true
      return add(vips, 'range', 'vips', { min: '11.255.0.0' })()
    },
    becomes(VIP_NAME, 'A', /^11\.255\./),
  ],
  [
    'vips.range.max',
    add(vips, 'range', 'vips', { min: '11.0.0.0', max: '11.0.0.255' }),
    becomes(VIP_NAME, 'A', /^11\.0\.0\./),
  ],
  [
    'vips.range6.min',
    add(vips, 'range6', 'vips', { min: 'fd01:c::ffff:ffff:ffff:0' }),
    becomes(VIP_NAME, 'AAAA', /^fd01:c::ffff:ffff:ffff:/),
  ],
  [
    'vips.range6.max',
    add(vips, 'range6', 'vips', { min: 'fd01:c::', max: 'fd01:c::ff' }),
    becomes(VIP_NAME, 'AAAA', /^fd01:c::[0-9a-f]{1,2}$/),
  ],
  [
    'vips.grace',
    add(vips, 'grace', 'vips', '0s'),
    async () => {
      file('vips.json', { vips: [] })
      await until(() => replied(VIP_NAME, r => r.status === 'NXDOMAIN'))
      return replied(VIP_NAME, r => r.status === 'NXDOMAIN')
    },
  ],
  [
    'vips.files',
    () => add(vips, 'files', 'vips', [file('more.json', VIPS)])(),
    becomes(VIP_NAME, 'A', /^11\./),
  ],
  ['vips.agent', add(vips, 'agent', 'vips', `${base}/agent`), () => fetched('/agent')],
  [
    'vips.address',
    () => {
      vips['answer'] = 'backends'
      vips['agent'] = `${base}/tasks`
      return add(vips, 'address', 'vips', '198.51.100.77')()
    },
    becomes('mapped.marathon.l4lb.thisdcos.directory', 'A', /^198\.51\.100\.77$/),
  ],
  ['mesos.master', () => ({ mesos: { master: `${base}/mesos-b` } }), () => fetched('/mesos-b')],
  [
    'mesos.leaderOnly',
    () => ({ mesos: { master: `${base}/mesos-b`, leaderOnly: false } }),
    () => fetched('/mesos-b'),
  ],
  [
    'mesos.ipSources',
    () => ({ mesos: { master: `${base}/polled`, leaderOnly: false, ipSources: ['netinfo'] } }),
    becomes('mapped.marathon.mesos.thisdcos.directory', 'A', /^9\.0\.0\.1$/),
  ],
  ['mesos.auth.basic', withAuth({ basic: text('basic', 'p:s') }), () => fetched('Basic cDpz')],
  ['mesos.auth.token', withAuth({ token: text('token', 'abc') }), () => fetched('Bearer abc')],
  [
    'mesos.auth.iam',
    withAuth({ iam: file('iam', { uid: 'u', private_key: PEM, login_endpoint: `${base}/login` }) }),
    () => fetched('token=header.claims.signature'),
  ],
  ['mesos.tls.insecure', overTls({ insecure: true }), askedBy('unknown')],
  ['mesos.tls.ca', overTls({ ca: secure.ca }), askedBy('unknown')],
  ['mesos.tls.cert', overTls({ ca: secure.ca, ...secure.mine }), askedBy('known')],
  [
    'mesos.tls.key',
    () => {
      const key = text('key.pem', readFileSync(secure.mine.key, 'utf8'))
      return overTls({ ca: secure.ca, ...secure.mine, key })()
    },
    askedBy('known'),
  ],
  [
    'gossip.seeds',
    () => ({
      gossip: {
        ...gossip,
        seeds: [
          `${(seed.address() as { address: string }).address}:${(seed.address() as { port: number }).port}`,
        ],
      },
    }),
    async () => {
      await seedCalled
      return true
    },
  ],
  [
    'gossip.seedMasters',
    () => ({
      gossip: { ...gossip, seedMasters: true },
      masters: { addresses: [one, two, steady].map(u => u.name) },
    }),
    async () => {
      await masterCalled
      return true
    },
  ],
  [
    'gossip.keyring',
    () => ({ gossip: { ...(settings['gossip'] as object), keyring: file('keyring-2', [key(2)]) } }),
    async () => {
      const { text } = await askDaemon(
        { socket: d.socket, listen: undefined },
        { method: 'POST', path: '/v1/keys/list', body: {}, deadlineMs: 30_000 },
      )
      return text.includes(key(2)) && !text.includes(key(1))
    },
  ],
  [
    'dnstap.socket',
    () => ({ dnstap: { ...tap } }),
    async () => {
      await tapReader.until(() => tapReader.controls.includes(2))
      return true
    },
  ],
  [
    'dnstap.identity',
    add(tap, 'identity', 'dnstap', 'elsewhere'),
    () => shown(frame => String(decode(frame).get(1)) === 'elsewhere'),
  ],
  [
    'dnstap.messages',
    add(tap, 'messages', 'dnstap', 'response'),
    () => shown(frame => messageIn(frame).get(1) === 6),
  ],
  [
    'dnstap.sample',
    add(tap, 'sample', 'dnstap', 1_000_000),
    async () => {
      await until(() => tapReader.connections >= 4)
      for (let n = 0; n < 20; n++) await first('hit.steady.example')
      // Long enough for all of them to be shown.
      await sleep(1_000)
      return tapReader.newest.length < 20
    },
  ],
  [
    'log.level',
    () => ({ log: { level: 'error' } }),
    async () => {
      const before = d.lines('reloaded').length
      await reload({ log: { level: 'warn' } })
      return d.lines('reloaded').length === before
    },
  ],
]

/** The section as it was at the start. */
const admin = () => ({ listen: d.admin.slice('http://'.length), socket: d.socket })
/** Keys whose new values need a restart. */
const RESTART: readonly (readonly [key: string, over: () => Settings])[] = [
  ['node', () => ({ node: 'another' })],
  ['listen.addresses', () => ({ listen: { addresses: [ownAddress()], port: at.port } })],
  [
    'listen.port',
    () => ({ listen: { addresses: d.addresses.map(a => a.address), port: at.port + 1 } }),
  ],
  [
    'listen.anyAddress',
    () => ({
      listen: { addresses: d.addresses.map(a => a.address), port: at.port, anyAddress: true },
    }),
  ],
  ['io', () => ({ io: 'dgram' })],
  ['cache.maxBytes', () => ({ cache: { ...cache, maxBytes: '16MiB' } })],
  ['cache.maxEntries', () => ({ cache: { ...cache, maxEntries: 1000 } })],
  [
    'gossip.bind',
    () => ({ gossip: { ...(settings['gossip'] as object), bind: `${ownAddress()}:7946` } }),
  ],
  [
    'gossip.advertise',
    () => ({ gossip: { ...(settings['gossip'] as object), advertise: '192.0.2.1' } }),
  ],
  ['gossip.insecure', () => ({ gossip: { ...(settings['gossip'] as object), insecure: true } })],
  [
    'gossip.clusterName',
    () => ({ gossip: { ...(settings['gossip'] as object), clusterName: 'other' } }),
  ],
  [
    'gossip.stateDir',
    () => ({ gossip: { ...(settings['gossip'] as object), stateDir: join(dir, 'gossip') } }),
  ],
  ['admin.listen', () => ({ admin: { listen: `${ownAddress()}:62080`, socket: d.socket } })],
  [
    'admin.socket',
    () => ({ admin: { listen: d.admin.slice('http://'.length), socket: join(dir, 'other.sock') } }),
  ],
  ['admin.hostNames', () => ({ admin: { ...admin(), hostNames: ['agent.example.org'] } })],
  ['admin.tls.cert', () => ({ admin: { ...admin(), tls: { cert: '/c.pem', key: '/k.pem' } } })],
  ['admin.tls.key', () => ({ admin: { ...admin(), tls: { cert: '/c.pem', key: '/k.pem' } } })],
  ['admin.token', () => ({ admin: { ...admin(), token: file('token', []) } })],
  ['metrics.prefix', () => ({ metrics: { prefix: 'coredns_' } })],
  ['balance.engine', () => ({})],
  ['balance.prefer', () => ({ balance: { prefer: 'local' } })],
  ['balance.affinity', () => ({ balance: { affinity: 'client' } })],
]
/** Keys with one legal value. */
const FIXED = ['balance.engine']

t.test('every key is in one of the tables', async t => {
  t.strictSame(
    [...ROWS, ...RESTART].map(([name]) => name).sort(),
    KEYS.map(({ path }) => path).sort(),
  )
})

for (const [name, over, acts] of ROWS)
  t.test(
    `${name} applies at once`,
    { skip: !hasOpenssl && name.startsWith('mesos.tls') },
    async t => {
      const said = await reload(await over())
      t.equal(said.error, '')
      t.ok(said.applied.includes(name), `the reload says so: ${JSON.stringify(said)}`)
      t.ok(await acts(), 'and it acts')
    },
  )

t.test(
  'the other keys wait for a restart, and the status says so until the old value is back',
  async t => {
    const before = settings
    for (const [name, over] of RESTART) {
      if (FIXED.includes(name)) continue
      const said = await reload({ ...over() })
      t.ok(said.needsRestart.includes(name), `${name}: ${JSON.stringify(said)}`)
      t.ok(
        ((await d.status())['config'] as { needsRestart: string[] }).needsRestart.includes(name),
        `${name} in the status`,
      )
      settings = { balance: {}, io: 'auto', metrics: {}, node: 'agent-under-test', ...before }
      settings = {
        ...settings,
        listen: { addresses: d.addresses.map(a => a.address), port: at.port },
      }
      settings = {
        ...settings,
        cache,
        admin: admin(),
      }
    }
    t.strictSame(
      (await reload({})).needsRestart.filter(name => !name.startsWith('gossip.stateDir')),
      [],
    )
  },
)

t.test('the stream lost no query and got no wrong answer', async t => {
  const { queries, seconds, slowest, wrong } = await stream.end()
  const rate = Math.round(queries / seconds)
  t.comment(`${queries} queries, ${rate} a second, the slowest took ${Math.round(slowest)} ms`)
  t.ok(queries > 500)
  t.strictSame(wrong, [])
})

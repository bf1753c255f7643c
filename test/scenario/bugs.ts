/**
 * A bug in any callback of the data thread costs one query or one look, is
 * counted and logged, and the daemon goes on. Each method below is made to
 * throw once, in the real daemon, over both bodies of its packet I/O.
 */
import t, { type Test } from 'tap'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { ownAddress } from '../fixture/address.ts'
import { ask, openTcp, query } from '../fixture/client.ts'
import { daemon, PROGRAM, type Daemon } from '../fixture/daemon.ts'
import { certificate, noOpenssl, overHttps, overTls } from '../fixture/encrypted.ts'
import { A, SOA } from '../fixture/rr.ts'
import { upstream, type Upstream } from '../fixture/upstream.ts'
import { framed } from '../fixture/wire.ts'

type Row = {
  readonly says: string
  /** Module, class and method that throws. */
  readonly at: readonly [module: string, className: string, method: string]
  /** Makes it be called, and looks at what a client gets. */
  readonly then: (t: Test, d: Daemon, up: Upstream) => Promise<void>
}

/** A question gets this status, whatever is lost on its way. */
const gets =
  (name: string, status: string, options: { tcp?: boolean } = {}): Row['then'] =>
  async (t, d) => {
    const got = await ask(d.at, name, 'A', { ...options, timeout: 30_000 })
    t.equal(got.status, status, `${name}: ${status}`)
  }

/** Encrypted upstreams, if there is a program for their certificate; each has a zone of its own. */
const ENCRYPTED: readonly Row[] = noOpenssl
  ? []
  : ['tls', 'https'].map(protocol => ({
      says: `a reply of an upstream over ${protocol}`,
      at: ['data/upstream/upstream.js', 'Upstream', 'replied'],
      then: gets(`www.${protocol}.example`, 'SERVFAIL'),
    }))

const ROWS: readonly Row[] = [
  {
    says: 'a datagram, while it is looked up',
    at: ['data/cache/packet-cache.js', 'PacketCache', 'findBy'],
    then: gets('known.example.org', 'SERVFAIL'),
  },
  {
    says: 'a TCP frame, while it is looked up',
    at: ['data/cache/packet-cache.js', 'PacketCache', 'findBy'],
    then: gets('known.example.org', 'SERVFAIL', { tcp: true }),
  },
  {
    says: 'octets on a TCP connection',
    at: ['data/serve/tcp/framing.js', 'FrameReader', 'push'],
    then: async (_t, d) => {
      const { socket } = await openTcp(d.at)
      socket.write(framed(query('known.example.org')))
    },
  },
  {
    says: 'a question that is not cached',
    at: ['data/forward/resolver.js', 'Resolver', 'resolve'],
    then: gets('new1.example.org', 'SERVFAIL'),
  },
  {
    says: 'a reply of an upstream',
    at: ['data/forward/race.js', 'Race', 'onReply'],
    then: gets('new2.example.org', 'NOERROR'),
  },
  {
    says: 'a reply of an upstream over TCP',
    at: ['data/forward/flight.js', 'Flight', 'finish'],
    // Its race is over and tells nobody: what has been in flight for too long is given up.
    then: gets('large.example.org', 'SERVFAIL'),
  },
  ...ENCRYPTED,
  {
    says: 'an answer on its way to a client',
    at: ['data/serve/datagram.js', 'Datagram', 'respond'],
    then: gets('new3.example.org', 'SERVFAIL'),
  },
  {
    says: 'the timer of a race',
    at: ['data/forward/race.js', 'Race', 'fire'],
    then: gets('silent.example.org', 'SERVFAIL'),
  },
  {
    says: 'the timer of the housekeeping',
    at: ['data/housekeeping.js', 'Housekeeping', 'fire'],
    then: () => Promise.resolve(),
  },
  {
    says: 'the look at TCP connections',
    at: ['data/serve/tcp/connection.js', 'Connection', 'check'],
    then: async (_t, d) => void (await openTcp(d.at)),
  },
  {
    says: 'a message of the main thread',
    at: ['data/forward/resolver.js', 'Resolver', 'take'],
    then: async (_t, d) => {
      d.configure({ allow: ['127.0.0.0/8', '192.0.2.0/24'] })
      await d.reload()
    },
  },
]

const address = ownAddress()
const pem = noOpenssl ? undefined : certificate(t, address)
if (!pem) t.comment('SKIPPED: openssl is not installed, so nothing throws over TLS and HTTPS')

/** The zones of ENCRYPTED, and the environment in which their certificate is trusted. */
const encrypted = async (t: Test, up: Upstream) => {
  const zones: Record<string, string[]> = {}
  if (!pem) return { zones, env: {} }
  const at = async (front: Promise<{ port: number }>) => `${address}:${(await front).port}`
  zones['tls.example'] = [`tls://${await at(overTls(t, up, pem))}`]
  zones['https.example'] = [`https://${await at(overHttps(t, up, pem))}/dns-query`]
  return { zones, env: { NODE_EXTRA_CA_CERTS: pem.path } }
}

for (const io of ['batch', 'dgram']) {
  t.test(`${io}: whatever throws, DNS goes on`, async t => {
    const records = [
      SOA('example.org. 300 ns.example.org. root.example.org. 1 60 600 86400 120'),
      ...['known', 'new1', 'new2', 'new3', 'large', 'after'].map(n =>
        A(`${n}.example.org. 300 203.0.113.1`),
      ),
      ...['www', 'after'].flatMap(n => [
        A(`${n}.tls.example. 300 203.0.113.1`),
        A(`${n}.https.example. 300 203.0.113.1`),
      ]),
      { name: 'silent.example.org', drop: true },
      { name: 'large.example.org', truncate: true },
    ]
    const up = await upstream(t, records, { address })
    const { zones, env } = await encrypted(t, up)
    const file = join(t.testdir({ fault: '' }), 'fault')
    const points = ROWS.map(({ says, at }) => [says, ...at])
    const faults = { file, dist: pathToFileURL(PROGRAM).href, points }
    const loader = new URL('../fixture/faults.mjs', import.meta.url).href
    const d = await daemon(
      t,
      { upstreams: [up.name], forwardZones: zones, io },
      { nodeArgs: ['--import', loader], env: { ...env, FAULTS: JSON.stringify(faults) } },
    )
    const seen = async (n: number): Promise<number> => {
      for (const late = performance.now() + 60_000; performance.now() < late; await pause(50)) {
        const count = await d.metric('panics_total')
        if (count >= n) return count
      }
      return d.metric('panics_total')
    }
    await ask(d.at, 'known.example.org')
    t.equal(await d.metric('panics_total'), 0)
    for (const [i, { says, then }] of ROWS.entries()) {
      writeFileSync(file, says)
      await then(t, d, up)
      t.equal(await seen(i + 1), i + 1, `${says}: counted once`)
      t.equal(readFileSync(file, 'utf8'), '', `${says}: thrown`)
      for (const tcp of [false, true])
        t.equal((await ask(d.at, 'known.example.org', 'A', { tcp })).status, 'NOERROR', says)
    }
    for (const zone of ['example.org', ...Object.keys(zones)])
      t.equal((await ask(d.at, `after.${zone}`)).status, 'NOERROR', `${zone}: new names are asked`)
    await d.until('internal error')
    t.match(d.lines('internal error'), [
      { level: 'error', err: /^thrown on purpose/, stack: /at / },
    ])
    t.equal(d.stray, '', 'nothing on stderr')
    t.equal(await d.stop(), 0, 'and it ends as it should')
  })
}

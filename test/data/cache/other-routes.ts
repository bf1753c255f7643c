/** Which answers of the last run come back after the configuration has changed: those whose route is still the same. */
import t from 'tap'
import { Router } from '../../../src/data/answer/router.ts'
import { dumpCache, restoreCache } from '../../../src/data/cache/cache-file.ts'
import { Entry } from '../../../src/data/cache/entry.ts'
import { PacketCache } from '../../../src/data/cache/packet-cache.ts'
import { STALE, Validity } from '../../../src/data/cache/validity.ts'
import { SnapshotBuilder, type RoutingFacts } from '../../../src/control/zones/snapshot.ts'
import { foldedText, nameWire } from '../../../src/wire/name.ts'
import { fillOf } from '../../fixture/fill.ts'

const NAMES = ['www.example.org', 'host.corp.example', 'web.mesos'] as const
const [EXTERNAL, CORP, MESOS] = NAMES

const udp = (address: string, port = 53) => ({ protocol: 'udp', address, port }) as const
const tls = (serverName: string) =>
  ({ protocol: 'tls', address: '192.0.2.53', port: 853, serverName }) as const
const doh = (path: string) =>
  ({ protocol: 'https', url: `https://dns.example.org/${path}` }) as const

const BEFORE: RoutingFacts = {
  clusterId: 'one',
  masters: [{ address: '192.0.2.1', port: 61053 }],
  local: ['spartan'],
  forwardZones: { 'corp.example': [udp('192.0.2.60')] },
  upstreams: [tls('dns.example.org'), doh('query'), udp('192.0.2.54')],
  allow: [],
}
const { upstreams } = BEFORE

/** What is configured when the daemon comes back, and whose answers come back with it. */
const ROWS: readonly (readonly [says: string, Partial<RoutingFacts>, readonly string[]])[] = [
  ['the same', {}, NAMES],
  ['other clients are allowed', { allow: ['10.0.0.0/8'] }, NAMES],
  ['the upstreams in another order', { upstreams: upstreams.toReversed() }, NAMES],
  ['an upstream more', { upstreams: [...upstreams, udp('192.0.2.55')] }, [CORP, MESOS]],
  ['an upstream less', { upstreams: upstreams.slice(1) }, [CORP, MESOS]],
  ['no upstream', { upstreams: [] }, [CORP, MESOS]],
  ['another port', { upstreams: upstreams.with(2, udp('192.0.2.54', 54)) }, [CORP, MESOS]],
  [
    'another protocol',
    { upstreams: upstreams.with(2, { ...udp('192.0.2.54'), protocol: 'tcp' }) },
    [CORP, MESOS],
  ],
  ['another TLS name', { upstreams: upstreams.with(0, tls('dns.example.net')) }, [CORP, MESOS]],
  ['another URL', { upstreams: upstreams.with(1, doh('other')) }, [CORP, MESOS]],
  [
    'other servers of the forward zone',
    { forwardZones: { 'corp.example': [udp('192.0.2.61')] } },
    [EXTERNAL, MESOS],
  ],
  ['no forward zone', { forwardZones: {} }, [EXTERNAL, MESOS]],
  [
    'a forward zone below it, with the same servers',
    { forwardZones: { ...BEFORE.forwardZones, [CORP]: [udp('192.0.2.60')] } },
    [EXTERNAL, MESOS],
  ],
  [
    'a new forward zone, with the servers of the other names',
    { forwardZones: { ...BEFORE.forwardZones, 'example.org': upstreams } },
    [CORP, MESOS],
  ],
  ['an external zone is held here', { local: ['spartan', 'example.org'] }, [CORP, MESOS]],
  ['the forward zone is held here', { local: ['spartan', 'corp.example'] }, [EXTERNAL, MESOS]],
  // They have the same zone as those before.
  ['other masters of the cluster', { masters: [{ address: '192.0.2.2', port: 53 }] }, NAMES],
  ['no master is known yet', { masters: [] }, NAMES],
  ['another cluster', { clusterId: 'two' }, [EXTERNAL, CORP]],
  ['no masters', { masters: undefined }, [EXTERNAL, CORP]],
]

/** The routes and the empty cache of one run. */
const runOf = (facts: RoutingFacts) => {
  const builder = new SnapshotBuilder({ now: () => 0, clearUpstream: () => {} })
  const router = new Router(builder.build(facts))
  const originOf = (name: string) => {
    const { spec } = router.match(name)
    return spec.kind === 'forward'
      ? { source: spec.number, zone: spec.label, staleTtl: 30 }
      : undefined
  }
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const sourceOf = ({ bytes, at }: Entry) => originOf(foldedText(bytes, at + 12))?.source ?? 0
  return { originOf, cache, validity: new Validity(sourceOf) }
}
const ended = <T>(job: Generator<void, T>): T => {
  for (;;) {
    const step = job.next()
    if (step.done) return step.value
  }
}

for (const [says, changes, expected] of ROWS)
  t.test(`${says}: ${expected.join(', ')}`, async t => {
    const before = runOf(BEFORE)
    for (const name of NAMES)
      before.cache.fill(fillOf(name, { stale: 1000, ...before.originOf(name)! }), 0, 1)
    const bytes = ended(dumpCache({ ...before, now: 0, unixMs: 0 }))
    const after = runOf({ ...BEFORE, ...changes })
    const restored = ended(
      restoreCache(bytes, {
        ...after,
        clamps: { serveStale: 1000 },
        now: () => 0,
        unixMs: 5_000,
        epoch: () => 0,
      }),
    )
    const back = NAMES.filter(name => {
      const wire = nameWire(name)!
      const entry = after.cache.find(wire, 0, wire.length, 1, 0, new Entry())
      return entry && after.validity.of(entry, 0) === STALE
    })
    t.strictSame(back, expected)
    t.strictSame(restored, {
      count: expected.length,
      otherRoute: NAMES.length - expected.length,
      trouble: '',
    })
  })

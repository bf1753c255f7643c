import t from 'tap'
import { UPSTREAMS } from '../../src/boundary/counters.ts'
import { SnapshotBuilder, type RoutingFacts } from '../../src/control/zones/snapshot.ts'

const facts = (over: Partial<RoutingFacts> = {}): RoutingFacts => ({
  clusterId: '',
  masters: [{ address: '192.0.2.1', port: 61053 }],
  local: ['spartan', 'b.thisdcos.directory'],
  forwardZones: {},
  upstreams: [{ protocol: 'udp', address: '192.0.2.53', port: 53 }],
  allow: ['127.0.0.0/8'],
  ...over,
})
const builder = () => {
  const cleared: number[] = []
  const clock = { now: 0 }
  const build = new SnapshotBuilder({
    now: () => clock.now,
    clearUpstream: slot => void cleared.push(slot),
  })
  return { build, cleared, clock }
}

t.test('a label is never given to another zone', async t => {
  const { build } = builder()
  const b = 'b.thisdcos.directory'
  const labelOf = (zone: string, local = ['spartan', b]) => {
    const { own, labels } = build.build(facts({ local }))
    const label = own.find(spec => spec.zone === zone)?.label ?? -1
    t.equal(labels[label], zone)
    return label
  }
  const at = labelOf(b)
  t.not(labelOf('c.thisdcos.directory', ['spartan', 'c.thisdcos.directory']), at)
  t.equal(labelOf(b), at)
})

t.test(
  'another list of masters keeps what the cache holds of them; other upstreams do not',
  async t => {
    const { build } = builder()
    const numbers = (over: Partial<RoutingFacts>): number[] => {
      const { own, rest } = build.build(facts(over))
      return [...own, rest].flatMap(spec => (spec.kind === 'forward' ? [spec.number] : []))
    }
    const [mesos, rest] = numbers({})
    t.strictSame(numbers({ masters: [{ address: '192.0.2.2', port: 61053 }] }), [mesos, rest])
    const two = [
      { protocol: 'udp', address: '192.0.2.53', port: 53 },
      { protocol: 'udp', address: '192.0.2.54', port: 53 },
    ] as const
    const [, changed] = numbers({ upstreams: two })
    t.not(changed, rest)
    t.equal(numbers({ upstreams: two.toReversed() })[1], changed, 'their order does not matter')
  },
)

t.test('another TLS name is another upstream', async t => {
  const { build } = builder()
  const tls = (serverName: string) =>
    build.build(
      facts({ upstreams: [{ protocol: 'tls', address: '192.0.2.53', port: 853, serverName }] }),
    )
  const [a, b] = [tls('a.example'), tls('b.example')]
  t.not(a.rest.kind === 'forward' && a.rest.number, b.rest.kind === 'forward' && b.rest.number)
  t.not(
    a.rest.kind === 'forward' && a.rest.upstreams[0]!.slot,
    b.rest.kind === 'forward' && b.rest.upstreams[0]!.slot,
  )
})

t.test(
  'a slot goes to another upstream only when nobody counts in it any more, and from zero',
  async t => {
    const { build, cleared, clock } = builder()
    const withUpstream = (n: number): number => {
      const { rest } = build.build(
        facts({
          masters: undefined,
          upstreams: [{ protocol: 'udp', address: `192.0.2.${n}`, port: 53 }],
        }),
      )
      return rest.kind === 'forward' ? rest.upstreams[0]!.slot : -1
    }
    for (let n = 0; n < UPSTREAMS - 1; n++) t.equal(withUpstream(n), n)
    t.equal(withUpstream(200), UPSTREAMS - 1, 'all are taken: the last one is shared')
    t.strictSame(cleared, [])
    clock.now += 11 * 60_000
    t.equal(withUpstream(201), 0)
    t.strictSame(cleared, [0])
  },
)

/** Which route a name has. */
import t from 'tap'
import type { RouteSpec, Snapshot } from '../../../src/boundary/messages.ts'
import { Router } from '../../../src/data/answer/router.ts'
import { raceRoute, snapshotOf, udp } from '../../fixture/bench-plane.ts'

const local = (zone: string): RouteSpec => ({ kind: 'local', zone, label: 0 })
const forward = (zone: string, address = '192.0.2.60'): RouteSpec =>
  raceRoute(zone, [udp(address, 5, 53)], { ttl: 'external' })
const special = (zone: string): RouteSpec => ({ kind: 'special', zone, label: 0 })

const snapshot = (more: Partial<Snapshot> = {}): Snapshot =>
  snapshotOf({
    own: [raceRoute('mesos', [udp('192.0.2.1', 0)]), local('a.mesos'), local('x')],
    forward: [forward('example'), forward('corp.example'), forward('b.a.mesos'), forward('test')],
    special: [special('test'), special('10.in-addr.arpa'), special('deep.example')],
    ...more,
  })

t.test(
  'the own zones, then forward zones, then special ones; in each the longest suffix',
  async t => {
    const router = new Router(snapshot())
    for (const [name, kind, zone] of [
      ['mesos', 'forward', 'mesos'],
      ['web.mesos', 'forward', 'mesos'],
      ['a.mesos', 'local', 'a.mesos'],
      ['w.a.mesos', 'local', 'a.mesos'],
      ['w.b.a.mesos', 'local', 'a.mesos'],
      ['example', 'forward', 'example'],
      ['www.example', 'forward', 'example'],
      ['corp.example', 'forward', 'corp.example'],
      ['a.b.corp.example', 'forward', 'corp.example'],
      ['deep.example', 'forward', 'example'],
      ['www.test', 'forward', 'test'],
      ['1.10.in-addr.arpa', 'special', '10.in-addr.arpa'],
      ['110.in-addr.arpa', 'forward', ''],
      ['x', 'local', 'x'],
      ['w.x', 'local', 'x'],
      ['wx', 'forward', ''],
      ['mesos.org', 'forward', ''],
      ['.', 'forward', ''],
      ['', 'forward', ''],
      // A dot inside of a label ends none, and a backslash before a dot may be one itself.
      ['web\\.mesos', 'forward', ''],
      ['a.web\\.mesos', 'forward', ''],
      ['web\\\\.mesos', 'forward', 'mesos'],
      ['web\\\\\\.mesos', 'forward', ''],
      ['\\..mesos', 'forward', 'mesos'],
      ['w\\.w.x', 'local', 'x'],
    ] as const) {
      const { spec } = router.match(name)
      t.strictSame([spec.kind, spec.zone], [kind, zone], name)
    }
  },
)

t.test('routes and upstreams that stay the same stay the same objects', async t => {
  const before = new Router(snapshot())
  const after = new Router(
    snapshot({ forward: [forward('example', '192.0.2.1'), forward('corp.example')] }),
    before,
  )
  for (const [name, same] of [
    ['web.mesos', true],
    ['w.a.mesos', true],
    ['1.10.in-addr.arpa', true],
    ['host.corp.example', true],
    ['www.example.org', true],
    ['www.example', false],
    ['www.test', false],
  ] as const)
    t.equal(after.match(name) === before.match(name), same, name)
  const [upstream] = before.match('host.corp.example').upstreams
  const moved = new Router(snapshot({ rest: forward('', '192.0.2.60'), forward: [] }), before)
  t.equal(moved.match('www.example.org').upstreams[0], upstream, 'with what is known of it')
  t.equal(new Set(moved.upstreams()).size, moved.upstreams().length)
  t.same(
    before.forwards().map(({ spec }) => spec.zone),
    ['mesos', 'example', 'corp.example', 'b.a.mesos', 'test', ''],
  )
})

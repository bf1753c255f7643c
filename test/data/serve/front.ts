import t from 'tap'
import { Allow } from '../../../src/data/serve/allow.ts'
import { Front } from '../../../src/data/serve/front.ts'
import { plainQuery } from '../../../src/wire/question.ts'
import { typeNumber } from '../../../src/wire/codes.ts'
import { nameWire } from '../../../src/wire/name.ts'
import { Plane, positive, raceRoute, snapshotOf, udp } from '../../fixture/bench-plane.ts'

const MASTER = '192.0.2.1'

t.test('a name that there was no room to refresh is refreshed by a later hit', async t => {
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }), {
    maxInFlight: 1,
  })
  const front = new Front(new Allow(['127.0.0.0/8']), {
    cache: p.cache,
    validity: p.validity,
    counters: p.counters,
    resolver: p.resolver,
    node: 'test',
    identity: true,
    tcpIdleMs: 0,
    isOurs: () => false,
    now: () => p.io.time,
    clock: () => p.io.time,
    onBug: er => t.fail(String(er)),
  })
  const ask = (name: string): void =>
    front.single(plainQuery(nameWire(name)!, typeNumber('A')!), undefined, 0, () => {})
  ask('web.mesos')
  p.reply(MASTER, positive('web.mesos', '203.0.113.1'))
  const sent = (): number => p.sentTo(MASTER).length
  for (let hit = 0; hit < 3; hit++) ask('web.mesos')
  t.equal(sent(), 1, 'hits')
  p.io.advance(4_500)
  ask('other.mesos')
  ask('web.mesos')
  t.equal(sent(), 2, 'no room beside the other')
  p.reply(MASTER, positive('other.mesos', '203.0.113.2'))
  ask('web.mesos')
  t.equal(sent(), 3, 'room now')
  ask('web.mesos')
  t.equal(sent(), 3, 'once')
})

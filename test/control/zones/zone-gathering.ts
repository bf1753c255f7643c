import t, { type Test } from 'tap'
import type { RRset } from '../../../src/boundary/messages.ts'
import { ZoneGathering } from '../../../src/control/zones/zone-gathering.ts'
import type { ZoneChange } from '../../../src/boundary/zone.ts'
import { until } from '../../fixture/scripted-http.ts'

const APEX = 'dcos.thisdcos.directory'
const A = (ip: string): RRset[] => [{ type: 'A', ttl: 5, data: [ip] }]
const set = (name: string, ip: string): ZoneChange => ({
  kind: 'patch',
  set: [[name, A(ip)]],
  drop: [],
})
const drop = (name: string): ZoneChange => ({ kind: 'patch', set: [], drop: [name] })

/** Collects what is passed on. The clock stands still, so the interval never ends by itself; the timer is short. */
const gathering = (t: Test) => {
  const told: [string, ZoneChange][] = []
  const zones = new ZoneGathering({
    publish: (apex, change) => told.push([apex, change]),
    now: () => 0,
    everyMs: 20,
  })
  t.teardown(() => zones.close())
  return { zones, told }
}

t.test('the first change is told at once, the next ones together', async t => {
  const { zones, told } = gathering(t)
  zones.take(APEX, set('a', '192.0.2.1'))
  t.same(told.splice(0), [[APEX, set('a', '192.0.2.1')]])
  zones.take(APEX, set('a', '192.0.2.2'))
  zones.take(APEX, set('b', '192.0.2.3'))
  zones.take(APEX, drop('a'))
  t.same(told, [])
  zones.take('other', set('c', '192.0.2.4'))
  t.same(told.splice(0), [['other', set('c', '192.0.2.4')]], 'each zone has its own pace')
  await until(() => told.length > 0)
  t.same(told, [[APEX, { kind: 'patch', set: [['b', A('192.0.2.3')]], drop: ['a'] }]])
})

t.test('a whole zone replaces what waits, and later changes follow it', async t => {
  const { zones, told } = gathering(t)
  zones.take(APEX, set('a', '192.0.2.1'))
  told.length = 0
  zones.take(APEX, set('b', '192.0.2.2'))
  zones.take(APEX, { kind: 'full', zone: new Map([['c', A('192.0.2.3')]]) })
  zones.take(APEX, drop('c'))
  await until(() => told.length > 1)
  t.same(
    told.map(([, change]) => change.kind),
    ['full', 'patch'],
  )
  t.same(told[1]?.[1], drop('c'))
})

import t from 'tap'
import { planReload } from '../../src/config/reload-plan.ts'
import { configOf } from '../fixture/config.ts'

t.test('a reload changes what applies at once, and keeps what needs a restart', async t => {
  const running = configOf({ race: { grace: '20ms' }, io: 'auto' })
  const wanted = configOf({ race: { grace: '30ms' }, io: 'dgram' })
  const plan = planReload(running, wanted)
  t.strictSame([...plan.applied], [['race.grace', ['data thread']]])
  t.strictSame(plan.pending, ['io'])
  t.equal(plan.next.race.grace, 30)
  t.equal(plan.next.io, 'auto', 'as it runs')
  t.strictSame(planReload(plan.next, wanted).pending, ['io'], 'until the restart')
  t.strictSame(
    planReload(plan.next, configOf({ race: { grace: '30ms' } })).pending,
    [],
    'or the old value',
  )
})

t.test('a section comes and goes as a whole', async t => {
  const bare = configOf({})
  const masters = configOf({ masters: { addresses: ['192.0.2.1'] } })
  t.strictSame(planReload(bare, masters).next.masters, masters.masters)
  t.equal(planReload(masters, bare).next.masters, undefined)
  const gossip = configOf({ gossip: { insecure: true, seeds: ['192.0.2.1'] } })
  const plan = planReload(bare, gossip)
  t.equal(plan.next.gossip, undefined, 'a ring begins with a restart')
  t.ok(plan.pending.includes('gossip.seeds'), 'all of its keys wait')
  t.strictSame(
    planReload(gossip, configOf({ gossip: { insecure: true, seeds: ['192.0.2.2'] } })).pending,
    [],
    'seeds of a ring that runs do not',
  )
})

t.test('who may ask by default is another setting than the same list in the file', async t => {
  const listed = configOf({ allow: ['127.0.0.0/8', '::1/128'] })
  const plan = planReload(configOf({}), listed)
  t.strictSame([...plan.applied.keys()], ['allow'])
  t.equal(plan.next.allowAttached, false)
})

t.test('a key that its part refuses waits for a restart', async t => {
  const plan = planReload(configOf({ identity: true }), configOf({ identity: false }), ['identity'])
  t.strictSame(plan.pending, ['identity'])
  t.equal(plan.next.identity, true)
})

/** When a name that is missing in a zone from the gossip does not exist. */
import t from 'tap'
import { isPublisher, KnownZones } from '../../../src/control/sharing/known-zones.ts'

const zone = (from: string, whole: boolean) => ({ apex: 'mesos', from, whole })

t.test('a zone is known when it is complete, or when nobody will publish it', t => {
  for (const [says, state, awaited, known] of [
    ['complete', zone('master-1', true), true, true],
    ['published, and pieces are missing', zone('master-1', false), true, false],
    [
      'published by a node that is gone, and pieces are missing',
      zone('master-1', false),
      false,
      false,
    ],
    ['not published yet', zone('', false), true, false],
    ['never published', zone('', false), false, true],
  ] as const) {
    const zones = new KnownZones(['mesos'])
    t.strictSame(zones.decide([state], awaited), known ? ['mesos'] : [], says)
    t.equal(zones.all, known)
  }
  t.end()
})

t.test('each zone is decided once, and not if it came meanwhile', t => {
  const zones = new KnownZones(['mesos', 'dcos'])
  zones.came('dcos')
  const whole = ['mesos', 'dcos'].map(apex => ({ apex, from: 'm', whole: true }))
  t.strictSame(zones.decide(whole, true), ['mesos'])
  t.strictSame(zones.decide(whole, true), [])
  t.end()
})

t.test('a member publishes zones until it leaves, also while it is dead', t => {
  for (const [state, tags, is] of [
    ['alive', { zones: '1' }, true],
    ['dead', { zones: '1' }, true],
    ['left', { zones: '1' }, false],
    ['alive', {}, false],
  ] as const)
    t.equal(isPublisher({ state, tags }), is, `${state} ${JSON.stringify(tags)}`)
  t.end()
})

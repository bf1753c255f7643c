/** A whole zone made of the zone before a change and the change. */
import t from 'tap'
import type { Owner } from '../../src/boundary/messages.ts'
import { wholeAfter } from '../../src/boundary/zone.ts'

const owner = (name: string): Owner => [name, []]

t.test('a change and the zone before it are one whole zone', async t => {
  const before = new Map([owner('old'), owner('gone')])
  const patch = { kind: 'patch', set: [owner('new')], drop: ['gone', 'never'] } as const
  const namesAfter = (
    zone: typeof before | undefined,
    change: Parameters<typeof wholeAfter>[1],
  ) => {
    const whole = wholeAfter(zone, change)
    return whole.kind === 'full' ? [...whole.zone.keys()].sort() : whole.kind
  }
  t.same(namesAfter(before, patch), ['new', 'old'])
  t.same([...before.keys()], ['old', 'gone'], 'the zone before it is as it was')
  t.same(namesAfter(undefined, patch), ['new'])
  t.same(namesAfter(before, { kind: 'full', zone: new Map([owner('other')]) }), ['other'])
})

/** A zone and a change to it make the whole zone that the change leads to. */
import t from 'tap'
import type { Owner } from '../../src/boundary/messages.ts'
import { wholeAfter, type ZoneChange, type ZoneMap } from '../../src/boundary/zone.ts'

const owner = (name: string): Owner => [name, []]

t.test('a change and the zone before it are one whole zone', async t => {
  const before = new Map([owner('old'), owner('gone')])
  const patch = { kind: 'patch', set: [owner('new')], drop: ['gone', 'never'] } as const
  const namesAfter = (zone: ZoneMap | undefined, change: ZoneChange): string[] =>
    [...wholeAfter(zone, change).zone.keys()].sort()
  t.same(namesAfter(before, patch), ['new', 'old'])
  t.same([...before.keys()], ['old', 'gone'], 'the zone before it is as it was')
  t.same(namesAfter(undefined, patch), ['new'])
  t.same(namesAfter(before, { kind: 'full', zone: new Map([owner('other')]) }), ['other'])
})

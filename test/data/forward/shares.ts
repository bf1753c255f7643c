/** Who holds most of what is limited, as a plain list tells it. */
import t from 'tap'
import { Held, Shares } from '../../../src/data/forward/shares.ts'
import { fc } from '../../fixture/property.ts'

class Thing extends Held<Thing> {}

t.test('the heaviest client gives its oldest, as in a list', async t => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant('add' as const), client: fc.nat(4) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), nth: fc.nat(30) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('take' as const) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), steps => {
      const shares = new Shares<Thing>()
      const model: { client: number; held: Thing }[] = []
      const countOf = (client: number): number => model.filter(m => m.client === client).length
      for (const one of steps) {
        if (one.do === 'add') {
          const held = new Thing(shares.of(one.client))
          shares.add(held)
          model.push({ client: one.client, held })
        } else if (one.do === 'remove' && model.length > 0) {
          const [gone] = model.splice(one.nth % model.length, 1)
          shares.remove(gone!.held)
        } else if (one.do === 'take') {
          const most = Math.max(0, ...model.map(m => countOf(m.client)))
          const taken = shares.takeFromHeaviest()
          if (!taken !== (most === 0)) return false
          if (!taken) continue
          const at = model.findIndex(m => m.held === taken)
          const { client } = model[at]!
          if (countOf(client) !== most || model.some((m, i) => i < at && m.client === client))
            return false
          model.splice(at, 1)
        }
        if (shares.size !== model.length) return false
        for (let client = 0; client <= 5; client++)
          if (shares.countOf(client) !== countOf(client)) return false
        if (shares.most !== Math.max(0, ...model.map(m => countOf(m.client)))) return false
      }
      return true
    }),
    { numRuns: 500 },
  )
  t.pass('no history told them apart')
})

t.test('clients that hold nothing are forgotten, and no others', async t => {
  const shares = new Shares<Thing>()
  const idle = shares.of(-1)
  const held = new Thing(shares.of(0))
  shares.add(held)
  for (let client = 1; client < 3000; client++) shares.of(client)
  t.equal(shares.of(0), held.share)
  t.equal(shares.countOf(0), 1)
  t.not(shares.of(-1), idle)
})

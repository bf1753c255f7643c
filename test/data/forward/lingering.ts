/** Races that wait for their losers: a list that is cut in every position, as an array tells it. */
import t from 'tap'
import { Lingering, type Lingerer } from '../../../src/data/forward/lingering.ts'
import { fc } from '../../fixture/property.ts'

class Race implements Lingerer {
  lingers = false
  older: Lingerer | undefined
  newer: Lingerer | undefined
  readonly #list: Lingering
  constructor(list: Lingering) {
    this.#list = list
  }
  cancel(): void {
    this.#list.delete(this)
  }
}

t.test('the oldest makes room', async t => {
  const step = fc.record({
    do: fc.constantFrom('add', 'add', 'add', 'delete', 'end'),
    nth: fc.nat(20),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), steps => {
      const list = new Lingering()
      const model: Race[] = []
      for (const { do: what, nth } of steps) {
        if (what === 'add') {
          const race = new Race(list)
          if (!list.add(race)) return false
          model.push(race)
        } else if (what === 'delete' && model.length > 0) {
          const [gone] = model.splice(nth % model.length, 1)
          list.delete(gone!)
          // It has ended twice.
          list.delete(gone!)
        } else if (what === 'end') {
          const [oldest] = model.splice(0, 1)
          if (list.endOldest() !== (oldest !== undefined) || oldest?.lingers) return false
        }
        if (list.count !== model.length || !model.every(race => race.lingers)) return false
      }
      return true
    }),
  )
  const list = new Lingering()
  let added = 0
  while (list.add(new Race(list))) added++
  t.equal(added, 1024, 'and there is a bound')
  t.ok(list.endOldest())
  t.ok(list.add(new Race(list)))
})

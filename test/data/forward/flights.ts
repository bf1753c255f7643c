import t from 'tap'
import { fc } from '../../fixture/property.ts'
import type { Ticket } from '../../../src/data/upstream/exchange.ts'
import { Flight, type FlightOwner } from '../../../src/data/forward/flight.ts'
import { Flights } from '../../../src/data/forward/flights.ts'
import { Pending } from '../../../src/data/upstream/pending.ts'
import { hashed, type Question } from '../../../src/data/forward/query.ts'
import type { Route } from '../../../src/data/answer/router.ts'
import { questionOf } from '../../fixture/bench-plane.ts'

const owner: FlightOwner = { finished: () => {}, late: () => {}, overdue: () => {} }
const route = {} as Route
const ask = (n: number, more: Partial<Question> = {}): Question =>
  hashed({ ...questionOf(`n${n}.mesos`), ...more })
const fly = (question: Question): Flight => new Flight(question, route, undefined, 0, 0, 1, owner)

t.test('flights are found by what they ask, oldest first, as in a map of them', async t => {
  // Far more names than chains, so that chains are long and are cut in every position.
  const step = fc.record({ n: fc.nat(299), take: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600 }), steps => {
      const flights = new Flights(1)
      const model = new Map<number, Flight>()
      for (const { n, take } of steps) {
        const there = model.get(n)
        if (flights.find(ask(n), route) !== there) return false
        if (there && take) {
          flights.delete(there)
          model.delete(n)
        } else if (!there) {
          const flight = fly(ask(n))
          flights.add(flight)
          model.set(n, flight)
        }
        if (flights.size !== model.size || flights.oldest !== model.values().next().value)
          return false
      }
      for (const flight of model.values()) {
        if (flights.oldest !== flight) return false
        flights.delete(flight)
      }
      return flights.size === 0 && flights.oldest === undefined
    }),
    { numRuns: 200 },
  )
  t.pass('no history told them apart')
})

t.test('type, DO and CD make another flight of the same name', async t => {
  const flights = new Flights(64)
  const all = [
    ask(1),
    ask(1, { qtype: 28 }),
    ask(1, { dnssecOk: true }),
    ask(1, { checkingDisabled: true }),
  ].map(fly)
  for (const flight of all) {
    t.equal(flights.find(flight.question, route), undefined)
    flights.add(flight)
  }
  for (const flight of all) t.equal(flights.find({ ...flight.question }, route), flight)
  t.equal(flights.find(ask(1), {} as Route), undefined, 'and another route')
})

t.test('as many flights as are expected spread over as many chains', async t => {
  const flights = new Flights(4096)
  const all = Array.from({ length: 4096 }, (_, n) => fly(ask(n)))
  for (const flight of all) flights.add(flight)
  const chains = new Set(all.map(({ chain }) => chain)).size
  // By chance 1 - 1/e of them are used.
  t.ok(chains > 2000, `${chains}`)
})

t.test('a flight that has ended leads to no other, or all would grow old with it', async t => {
  const flights = new Flights(1)
  const [first, second, third] = [fly(ask(1)), fly(ask(2)), fly(ask(3))] as const
  for (const flight of [first, second, third]) flights.add(flight)
  flights.delete(second)
  t.match(second, { next: undefined, older: undefined, newer: undefined })
  t.equal(first.newer, third)
  t.equal(third.older, first)
})

t.test('tickets are found by their ID, however many share a chain', async t => {
  const step = fc.record({
    id: fc.constantFrom(0, 1, 64, 65, 128, 129, 192, 65_472, 65_535),
    take: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), steps => {
      const pending = new Pending()
      const model = new Map<number, Ticket>()
      for (const { id, take } of steps) {
        const there = model.get(id)
        if (pending.get(id) !== there) return false
        if (there && take) {
          pending.delete(there)
          pending.delete(there) // twice: it is not in any more
          model.delete(id)
        } else if (!there) {
          const ticket = { id, next: undefined } as Ticket
          pending.add(ticket)
          model.set(id, ticket)
        }
        const all = pending.all()
        if (all.length !== model.size || !all.every(ticket => model.get(ticket.id) === ticket))
          return false
      }
      return true
    }),
  )
  t.pass('no history told them apart')
})

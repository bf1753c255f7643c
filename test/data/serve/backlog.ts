/** Queries that the thread has no time for: who waits, who is served next, and who gives way. */
import t from 'tap'
import { Backlog } from '../../../src/data/serve/backlog.ts'

const FLOOD = 1
const HONEST = 2
const OTHER = 3

/** A backlog whose turn has no room left, so that what comes must wait. */
const busy = (): Backlog<string> => {
  const backlog = new Backlog<string>()
  while (backlog.admits());
  return backlog
}

/** Offers queries of one client as the front does; returns those that were given up. */
const offer = (backlog: Backlog<string>, client: number, names: string[], now = 0): string[] =>
  names.flatMap(name => {
    if (backlog.admits()) return []
    if (backlog.refuses(client, now)) return [name]
    return backlog.add(client, name, now) ?? []
  })

/** A client that always has a query waiting, so that the backlog is never empty. */
const STEADY = 0

/** A backlog that has not been empty while so many queries were worked on, and holds what came last. */
const worked = (queries: number): Backlog<string> => {
  const backlog = busy()
  offer(backlog, STEADY, ['s'])
  backlog.endTurn()
  for (let taken = 0; taken < queries; taken++) {
    offer(backlog, STEADY, ['s'])
    if (!backlog.take(0)) {
      backlog.endTurn()
      backlog.take(0)
    }
  }
  return backlog
}

/** All that is taken in a turn. */
const turn = (backlog: Backlog<string>, now = 0): string[] => {
  const taken: string[] = []
  for (let query = backlog.take(now); query; query = backlog.take(now)) taken.push(query)
  backlog.endTurn()
  return taken
}

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`)

t.test('what comes while nobody waits is worked on at once, up to the limit of a turn', t => {
  const backlog = new Backlog<string>()
  let admitted = 0
  while (backlog.admits()) admitted++
  t.equal(admitted, 64)
  t.equal(backlog.size, 0)
  t.same(turn(backlog), [])
  t.ok(backlog.admits(), 'the next turn has room')
  t.end()
})

t.test('nobody overtakes those who wait', t => {
  const backlog = busy()
  t.same(offer(backlog, HONEST, ['early']), [])
  backlog.endTurn()
  t.notOk(backlog.admits())
  t.same(offer(backlog, HONEST, ['late']), [])
  t.same(turn(backlog), ['early', 'late'])
  t.end()
})

t.test('clients are served in turn, each in its order', t => {
  const backlog = busy()
  offer(backlog, FLOOD, ['f0', 'f1', 'f2'])
  offer(backlog, HONEST, ['h0'])
  offer(backlog, OTHER, ['o0', 'o1'])
  t.same(turn(backlog), [], 'no room in this turn')
  t.same(turn(backlog), ['f0', 'h0', 'o0', 'f1', 'o1', 'f2'])
  t.equal(backlog.size, 0)
  t.end()
})

t.test('a turn works on so many, the next one on the rest', t => {
  const backlog = busy()
  offer(backlog, FLOOD, names('f', 200))
  backlog.endTurn()
  t.equal(turn(backlog).length, 64)
  t.same(turn(backlog), names('f', 200).slice(64, 128))
  t.end()
})

t.test('a burst of one client waits and loses nothing', t => {
  const backlog = busy()
  const burst = names('f', 4_096)
  t.same(offer(backlog, FLOOD, burst), [])
  backlog.endTurn()
  const taken: string[] = []
  while (backlog.size > 0) taken.push(...turn(backlog, 99))
  t.same(taken, burst)
  t.end()
})

t.test('who gives way', t => {
  for (const [says, before, client, gone] of [
    ['the only client loses its new one', { [FLOOD]: 4_096 }, FLOOD, 'new'],
    ['the heaviest loses its oldest to another', { [FLOOD]: 4_096 }, HONEST, '1:0'],
    ['of several, too', { [FLOOD]: 4_000, [OTHER]: 96 }, HONEST, '1:0'],
    ['also to one who waits already', { [FLOOD]: 4_000, [OTHER]: 96 }, OTHER, '1:0'],
    ['and loses its new one', { [FLOOD]: 4_000, [OTHER]: 96 }, FLOOD, 'new'],
    ['nobody, if there is room', { [FLOOD]: 4_095 }, FLOOD, undefined],
  ] as const) {
    const backlog = busy()
    for (const [who, count] of Object.entries(before))
      offer(backlog, Number(who), names(`${who}:`, count))
    t.same(offer(backlog, client, ['new']), gone === undefined ? [] : [gone], says)
  }
  t.end()
})

t.test('who gives way, when the backlog was not empty for long', t => {
  for (const [says, queries, now, held, client, gone] of [
    ['a backlog that lasts has less room', 4_096, 1_000, 511, FLOOD, 'new'],
    ['for others, too', 4_096, 1_000, 511, HONEST, '1:0'],
    ['below that there is room', 4_096, 1_000, 510, FLOOD, undefined],
    ['until then it has more', 4_096, 999, 511, FLOOD, undefined],
    [
      'a thread that hardly runs has done less, and they wait',
      4_095,
      60_000,
      511,
      FLOOD,
      undefined,
    ],
  ] as const) {
    const backlog = worked(queries)
    offer(backlog, FLOOD, names(`${FLOOD}:`, held))
    t.equal(backlog.size, held + 1)
    t.same(offer(backlog, client, ['new'], now), gone === undefined ? [] : [gone], says)
  }
  t.end()
})

t.test('a backlog that was empty is a burst again', t => {
  const backlog = busy()
  offer(backlog, FLOOD, names('f', 100))
  backlog.endTurn()
  turn(backlog, 200)
  while (backlog.admits());
  t.same(offer(backlog, FLOOD, names('f', 1_000), 300), [])
  t.end()
})

t.test('work that was done before it was empty does not count', t => {
  const backlog = worked(4_096)
  while (backlog.size > 0) turn(backlog)
  while (backlog.admits());
  offer(backlog, FLOOD, names('f', 512))
  t.same(offer(backlog, FLOOD, ['new'], 60_000), [])
  t.end()
})

t.test('one client floods for long: another loses nothing and waits for one turn', t => {
  const backlog = new Backlog<string>()
  let lost = 0
  let late = 0
  for (let now = 0; now < 1_100; now++) {
    const gone = offer(backlog, FLOOD, names(`f${now}:`, 400), now)
    gone.push(...offer(backlog, HONEST, [`h${now}`], now))
    lost += gone.filter(name => name.startsWith('h')).length
    const taken = turn(backlog, now)
    if (now > 0 && !taken.includes(`h${now}`)) late++
  }
  t.equal(lost, 0)
  t.equal(late, 0, 'served in the turn in which it came')
  t.ok(backlog.size <= 512)
  t.end()
})

t.test('who is on trial: the one that holds most of a backlog that lasts', t => {
  for (const [says, queries, now, wanted] of [
    ['a burst', 512, 99, [false, false, false, false]],
    ['a backlog that lasts', 511, 100, [false, true, false, true]],
    ['of a thread that hardly runs', 507, 60_000, [false, false, false, false]],
  ] as const) {
    const backlog = worked(queries)
    offer(backlog, FLOOD, ['f0', 'f1', 'f2'])
    offer(backlog, HONEST, ['h0'])
    backlog.endTurn()
    const heavy = wanted.map(() => {
      backlog.take(now)
      return backlog.isFromHeaviest
    })
    t.same(heavy, wanted, says)
  }
  t.end()
})

t.test('a client whose only query was given up is not served twice', t => {
  const backlog = busy()
  for (let client = 0; client < 4_096; client++) offer(backlog, client, [`${client}`])
  // Everybody holds one: somebody gives way to the new client, and comes back.
  const [gone] = offer(backlog, 10_000, ['new'])
  t.ok(gone)
  offer(backlog, Number(gone), ['again'])
  backlog.endTurn()
  const taken: string[] = []
  while (backlog.size > 0) taken.push(...turn(backlog))
  t.equal(taken.length, 4_096)
  t.equal(new Set(taken).size, 4_096)
  t.end()
})

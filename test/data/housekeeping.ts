/** A quiet thread is not woken for its periodic work; a busy one does it beside its queries. */
import t from 'tap'
import { SLOT } from '../../src/boundary/counters.ts'
import { Housekeeping, type HousekeepingContext } from '../../src/data/housekeeping.ts'
import { Plane, raceRoute, snapshotOf, udp } from '../fixture/bench-plane.ts'

const MASTER = '192.0.2.1'

/** Housekeeping of a plane in memory; `did` has the times of its work, counted from its creation. */
const housekeeper = async () => {
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }))
  const since = p.io.time
  const did: number[] = []
  const realTime = { look: (now: number) => (did.push(now - since), false) }
  const housekeeping = new Housekeeping({
    io: p.io,
    listeners: { tcpConnections: 0 },
    resolver: p.resolver,
    resolving: p.context,
    realTime,
    post: () => {},
  } as unknown as HousekeepingContext)
  /** A turn this long after the creation: timers that are due until then, then what happened, then the look. */
  const turn = (at: number, happens = false): void => {
    p.io.advance(since + at - p.io.time)
    if (happens) p.io.stats.received++
    housekeeping.look(p.io.time)
  }
  return { p, housekeeping, did, turn }
}

t.test('the work is done beside what happens, or after the last of it', async t => {
  for (const [says, turns, worked] of [
    ['one query in a while costs no timer', [0, 5_000, 10_000], [0, 5_000, 10_000]],
    ['of a short burst the last one is seen, too', [0, 10, 20], [0, 500]],
    ['a steady stream is seen four times a second', [0, 100, 200, 300, 400, 500], [0, 300, 800]],
    ['a late one replaces the timer', [0, 10, 260], [0, 260]],
  ] as const) {
    const { p, did, turn } = await housekeeper()
    for (const at of turns) turn(at, true)
    turn(20_000)
    t.strictSame(did, worked, says)
    t.equal(p.timers.size, 0, 'and then nothing is due')
  }
})

t.test('nothing is done while nothing happens, nor after the end', async t => {
  const { did, housekeeping, p, turn } = await housekeeper()
  turn(0)
  turn(1_000)
  t.strictSame(did, [0], 'but once')
  turn(2_000, true)
  turn(2_001, true)
  housekeeping.close()
  t.equal(p.timers.size, 0)
  turn(4_000, true)
  t.strictSame(did, [0, 2_000])
})

t.test('what is under way is looked after although nothing happens', async t => {
  const { p, did, turn } = await housekeeper()
  p.ask('web.mesos')
  turn(0, true)
  turn(1_000)
  t.strictSame(did, [0, 250, 500, 750, 1_000])
  t.equal(p.counters[SLOT.inFlight], 1)
})

t.test('a probe that begins beside a query gets its round of the event loop', async t => {
  const { p, turn } = await housekeeper()
  let woken = 0
  p.io.wake = () => void woken++
  turn(0, true)
  t.equal(woken, 0, 'nothing began')
  for (const { upstreams } of p.resolver.router.forwards())
    for (const { liveness } of upstreams) liveness.takeProbe = () => true
  turn(1_000, true)
  t.equal(woken, 1)
})

/** Which external upstream is asked first, and how long it has before the next one is asked, too. */
import t from 'tap'
import { askingOrder, headStart } from '../../../src/data/forward/head-start.ts'
import { Upstream } from '../../../src/data/upstream/upstream.ts'
import { udp } from '../../fixture/bench-plane.ts'

const NOW = 1_000

/** An upstream that usually takes so many milliseconds; unknown without. */
const known = (ms?: number): Upstream => {
  const upstream = new Upstream(udp('192.0.2.1', 0))
  if (ms !== undefined) upstream.replied(NOW, ms)
  return upstream
}
/** The same, which has failed often lately, and answers. */
const sick = (ms?: number): Upstream => {
  const upstream = known(ms)
  for (let i = 0; i < 5; i++) upstream.failed(NOW, NOW, 'servfail')
  return upstream
}
const dead = (): Upstream => {
  const upstream = known(1)
  for (let i = 0; i < 9; i++) upstream.failed(NOW + 60_000, NOW + 1, 'unreachable')
  return upstream
}
const overtaken = (ms: number, silentMs: number): Upstream => {
  const upstream = known(ms)
  upstream.latency.overtaken(silentMs)
  return upstream
}

t.test('the quickest first, then the unknown, then the sick; the dead not at all', async t => {
  const all: Record<string, Upstream> = {
    'takes 2 ms': known(2),
    'takes 300 ms': known(300),
    'was quick, and is overtaken for 400 ms': overtaken(1, 400),
    unknown: known(),
    'sick and quick': sick(1),
    'sick and slow': sick(300),
  }
  const names = Object.keys(all)
  const nameOf = (upstream: Upstream): string => names.find(name => all[name] === upstream) ?? ''
  const order = (some: readonly string[]): string[] =>
    askingOrder(
      some.map(name => all[name]!),
      NOW,
    ).map(nameOf)
  for (const some of [names.slice(0, 4), names.slice(2), [names[3]!, names[5]!]]) {
    t.same(order(some), some)
    t.same(order(some.toReversed()), some)
  }
  t.same(order(names), names.slice(0, 4), 'four at most')
  t.same(askingOrder([dead(), dead()], NOW), [])
})

t.test('twice its usual time, within bounds', async t => {
  for (const [upstream, ms] of [
    [known(), 100],
    [known(1), 20],
    [known(10), 20],
    [known(11), 22],
    [known(150), 300],
    [known(200), 400],
    [known(900), 400],
    [overtaken(1, 150), 300],
  ] as const)
    t.equal(headStart(upstream), ms)
})

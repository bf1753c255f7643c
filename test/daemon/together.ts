/** Periodic work that hangs on one timer. */
import t from 'tap'
import { together } from '../../src/base/together.ts'

t.test('work of one interval shares a timer, which ends with the last of it', t => {
  const timers: { ms: number; run: () => void; ended: boolean }[] = []
  const set = t.capture(globalThis, 'setInterval', ((run: () => void, ms: number) => {
    const timer = { ms, run, ended: false, unref: () => timer }
    timers.push(timer)
    return timer
  }) as unknown as typeof setInterval)
  const cleared = t.capture(globalThis, 'clearInterval', ((timer: { ended: boolean }) => {
    timer.ended = true
  }) as unknown as typeof clearInterval)
  t.teardown(() => [set, cleared].forEach(one => one.restore()))

  const done: string[] = []
  const work = (name: string) => () => void done.push(name)
  const endA = together(7_001, work('a'))
  const endB = together(7_001, work('b'))
  const endC = together(7_002, work('c'))
  t.same(
    timers.map(({ ms }) => ms),
    [7_001, 7_002],
  )
  timers[0]?.run()
  t.same(done, ['a', 'b'])
  endA()
  endA()
  timers[0]?.run()
  t.same(done, ['a', 'b', 'b'])
  t.notOk(timers[0]?.ended)
  endB()
  endC()
  t.ok(timers.every(({ ended }) => ended))
  const bug = new Error('thrown on purpose')
  const later = t.capture(globalThis, 'queueMicrotask', (() => {}) as typeof queueMicrotask)
  const endBad = together(7_003, () => {
    throw bug
  })
  const endGood = together(7_003, work('good'))
  timers.at(-1)?.run()
  later.restore()
  t.equal(done.at(-1), 'good', 'what one throws does not keep others from running')
  const [{ args: [raise] } = { args: [] }] = later()
  t.throws(() => raise?.(), bug, 'and is not lost')
  endBad()
  endGood()
  const again = together(7_001, work('d'))
  t.equal(timers.length, 4, 'a new timer after the end')
  again()
  t.end()
})

t.test('work every few beats of five seconds shares one timer', t => {
  const timers: { ms: number; run: () => void }[] = []
  const set = t.capture(globalThis, 'setInterval', ((run: () => void, ms: number) => {
    const timer = { ms, run, unref: () => timer }
    timers.push(timer)
    return timer
  }) as unknown as typeof setInterval)
  t.teardown(() => set.restore())
  const done: string[] = []
  const ends = [5_000, 10_000, 15_000].map(ms => together(ms, () => void done.push(`${ms}`)))
  t.same(
    timers.map(({ ms }) => ms),
    [5_000],
  )
  const beats = Array.from({ length: 6 }, () => {
    timers[0]?.run()
    return done.splice(0).join(' ')
  })
  t.strictSame(beats, [
    '5000',
    '5000 10000',
    '5000 15000',
    '5000 10000',
    '5000',
    '5000 10000 15000',
  ])
  for (const end of ends) end()
  together(10_000, () => {})()
  t.equal(timers.length, 2, 'a new timer after the end')
  t.end()
})

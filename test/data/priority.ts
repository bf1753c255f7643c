/** When the answering thread gets real-time priority. */
import t from 'tap'
import { readFileSync, readlinkSync } from 'node:fs'
import { loadLibc } from '../../src/data/io/libc.ts'
import { RealTime, schedulingOf, type Scheduling } from '../../src/data/priority.ts'

/** A thread that uses `share` of a core, with the test's clock. */
const thread = (allowed = true) => {
  const world = { now: 0, spent: 0, share: 0, real: false, calls: 0, counted: true }
  const scheduling: Scheduling = {
    setRealTime: on => {
      world.calls++
      if (on && !allowed) return false
      world.real = on
      return true
    },
    spent: () => {
      if (!world.counted) throw new Error('nobody counts')
      return world.spent
    },
  }
  const realTime = new RealTime(scheduling)
  const began: number[] = []
  const after = (ms: number): boolean => {
    for (const end = world.now + ms; world.now < end;) {
      world.now += 250
      world.spent += 250 * world.share
      if (realTime.look(world.now)) began.push(world.now)
    }
    return world.real
  }
  return { world, after, began, realTime }
}

t.test('it begins when the thread is idle and ends within a second of a flood', async t => {
  const { world, after, began } = thread()
  world.share = 0.1
  t.notOk(after(1_000), 'not before there is something to compare')
  t.ok(after(1_000))
  world.share = 1
  t.notOk(after(1_000))
  world.share = 0.45
  t.notOk(after(5_000), 'half busy is not idle')
  world.share = 0.3
  t.ok(after(1_000))
  world.share = 0.45
  t.ok(after(5_000), 'nor busy')
  t.equal(world.calls, 3)
  t.equal(began.length, 2)
})

t.test('where it is not allowed it is tried once', async t => {
  const { world, after, began } = thread(false)
  t.notOk(after(10_000))
  t.equal(world.calls, 1)
  t.same(began, [])
})

t.test('a thread whose time nobody counts is never left in real time', async t => {
  const { world, after } = thread()
  t.ok(after(2_000))
  world.counted = false
  t.notOk(after(1_000))
  t.notOk(after(10_000))
  const blind = thread()
  blind.world.counted = false
  t.notOk(blind.after(10_000))
  t.equal(blind.world.calls, 0)
})

t.test('if the kernel does not end it, it is asked again', async t => {
  const { world, after, realTime } = thread()
  t.ok(after(2_000))
  world.share = 1
  const calls: boolean[] = []
  const stubborn: Scheduling = {
    setRealTime: on => (calls.push(on), on || calls.length > 3),
    spent: () => world.spent,
  }
  const other = new RealTime(stubborn)
  world.share = 0
  for (const share of [0, 0, 1, 1, 1, 1]) {
    world.now += 1_000
    world.spent += 1_000 * share
    other.look(world.now)
  }
  t.same(calls, [true, false, false, false])
  t.notOk(other.on)
  t.ok(realTime.on)
})

t.test('the kernel counts this thread, and takes or refuses the policy', async t => {
  if (process.platform !== 'linux') return t.pass('', { skip: 'SKIPPED: needs Linux' })
  const libc = await loadLibc()
  const { spent, setRealTime } = schedulingOf(libc)
  const before = spent()
  for (const until = performance.now() + 30; performance.now() < until;);
  t.ok(spent() > before)
  const policy = (): number =>
    Number(
      readFileSync(`/proc/${readlinkSync('/proc/thread-self')}/stat`, 'latin1')
        .split(') ')[1]!
        .split(' ')[38],
    )
  const allowed = setRealTime(true)
  t.equal(policy(), allowed ? 2 : 0)
  t.equal(setRealTime(false), true)
  t.equal(policy(), 0)
})

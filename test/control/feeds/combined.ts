import t from 'tap'
import { Combined } from '../../../src/control/feeds/combined.ts'

/** A job whose runs end when the test says so. */
const stepped = () => {
  const ends: ((er?: Error) => void)[] = []
  const combined = new Combined(
    () => new Promise<void>((resolve, reject) => ends.push(er => (er ? reject(er) : resolve()))),
  )
  const tick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
  return { ends, combined, tick }
}

t.test('calls during a run are followed by exactly one more', async t => {
  const { ends, combined, tick } = stepped()
  const calls = [combined.run(), combined.run(), combined.run()]
  t.equal(ends.length, 1)
  ends[0]!()
  await tick()
  t.equal(ends.length, 2)
  ends[1]!()
  await Promise.all(calls)
  t.equal(ends.length, 2)
  const next = combined.run()
  t.equal(ends.length, 3, 'a later call runs it again')
  ends[2]!()
  await next
})

t.test('a run that fails ends alone: the next call runs again', async t => {
  const { ends, combined } = stepped()
  const first = combined.run()
  ends[0]!(new Error('no'))
  await t.rejects(first, { message: 'no' })
  const next = combined.run()
  ends[1]!()
  await next
})

t.test('close waits for the run under way and begins no other', async t => {
  const { ends, combined, tick } = stepped()
  const calls = [combined.run(), combined.run()]
  let closed = false
  const closing = combined.close().then(() => (closed = true))
  await tick()
  t.equal(closed, false)
  ends[0]!()
  await Promise.all([closing, ...calls])
  t.equal(ends.length, 1)
})

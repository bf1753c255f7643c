/** Those who wait for the end of the restore are called once each, whatever one of them does. */
import t from 'tap'
import { Restoring } from '../../../src/data/cache/restoring.ts'
import { Timers } from '../../../src/data/timers.ts'

t.test('all who wait are called in their order, and later ones are told that it has ended', t => {
  const timers = new Timers()
  const restoring = new Restoring(timers, 0)
  const called: number[] = []
  for (let i = 0; i < 3; i++) t.ok(restoring.wait(() => called.push(i)))
  restoring.end()
  t.strictSame(called, [0, 1, 2])
  t.ok(restoring.ended)
  t.notOk(restoring.wait(() => called.push(9)))
  t.equal(timers.size, 0)
  t.end()
})

t.test('one that throws costs none of the others', t => {
  const timers = new Timers()
  const restoring = new Restoring(timers, 0)
  const called: number[] = []
  for (let i = 0; i < 4; i++)
    restoring.wait(() => {
      called.push(i)
      if (i % 2 === 0) throw new Error(`bug ${i}`)
    })
  t.throws(() => restoring.end(), { message: 'bug 0' })
  t.throws(() => timers.run(0), { message: 'bug 2' })
  timers.run(0)
  t.strictSame(called, [0, 1, 2, 3])
  t.equal(timers.size, 0)
  t.end()
})

t.test('a restore that does not begin is given up after 15 s', t => {
  const timers = new Timers()
  const restoring = new Restoring(timers, 1_000)
  let called = 0
  restoring.wait(() => called++)
  timers.run(15_999)
  t.equal(called, 0)
  timers.run(16_000)
  t.equal(called, 1)
  t.end()
})

t.test('one that has begun is waited for, however long it takes', t => {
  const timers = new Timers()
  const restoring = new Restoring(timers, 0)
  let called = 0
  restoring.wait(() => called++)
  restoring.begin()
  timers.run(60_000)
  t.equal(called, 0)
  restoring.end()
  t.equal(called, 1)
  t.end()
})

import t from 'tap'
import { Spin } from '../../../src/data/io/spin.ts'

/** Waits for one descriptor each; returns whether each began with a spin. */
const after = (spin: Spin, ...waits: number[]): boolean[] =>
  waits.map(ms => {
    const { pays } = spin
    spin.waited(ms, pays)
    spin.turn(1)
    return pays
  })
const times = (n: number, ...waits: number[]): number[] =>
  Array.from({ length: n }, () => waits).flat()

t.test('a daemon that is seldom asked never spins', async t => {
  t.notOk(after(new Spin(2), ...times(100, 1, 5, 50)).includes(true))
})

t.test('answers that follow each other closely are waited for awake', async t => {
  const spun = after(new Spin(2), ...times(50, 0.02))
  t.notOk(spun[0], 'not before it has been seen')
  t.notOk(spun.slice(20).includes(false))
})

t.test('a spin in vain is not tried again until waits have been short for a while', async t => {
  const spin = new Spin(2)
  after(spin, ...times(50, 0.02))
  t.ok(spin.pays)
  t.same(after(spin, 20, 0.02, 0.02), [true, false, false])
  t.same(after(spin, ...times(16, 0.02)).at(-1), true)
})

t.test('a wait that sleeping would end as soon is not spun through again', async t => {
  // Long enough that a spin fails, short enough that a spin looks worthwhile.
  const spun = after(new Spin(2), ...times(300, 0.1))
  t.ok(spun.filter(Boolean).length <= 300 / 12)
})

t.test('a miss now and then, three replies and a pause, does not spin', async t => {
  t.notOk(after(new Spin(2), ...times(100, 0.1, 0.02, 0.02, 20)).includes(true))
})

t.test('who waits in line is answered in batches, without a spin', async t => {
  const spin = new Spin(2)
  after(spin, ...times(50, 0.02))
  spin.turn(3)
  t.notOk(spin.pays)
  spin.turn(0)
  t.notOk(spin.pays, 'a turn without events says nothing of it')
  spin.turn(1)
  t.ok(spin.pays)
})

t.test('on a single core nobody is kept from running', async t => {
  t.notOk(after(new Spin(1), ...times(50, 0.02)).includes(true))
})

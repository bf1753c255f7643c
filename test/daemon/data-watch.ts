/** How the main thread knows whether the data thread still works. */
import t from 'tap'
import { DataWatch } from '../../src/daemon/data-watch.ts'

t.test('a thread is silent while it gives no status and answers no query of ours', async t => {
  let now = 1_000
  let answeredAt = -Infinity
  let hangs = false
  const given = { io: 'batch' } as never
  const watch = new DataWatch({
    recent: { sample: () => {} },
    ask: () => (hangs ? Promise.reject(new Error('no answer')) : Promise.resolve(given)),
    answeredAt: () => answeredAt,
    now: () => now,
  })
  t.equal(watch.status, undefined)
  now += 3_000
  t.equal(watch.silence, 3_000, 'since its start')
  t.equal(await watch.look(), given)
  t.equal(watch.silence, 0, 'it gave its status')
  now += 20_000
  answeredAt = now - 4_000
  t.equal(watch.silence, 4_000, 'nobody asked for the status, and it answered a query')
  hangs = true
  t.equal(await watch.look(), given, 'the last one')
  now += 7_000
  t.equal(watch.silence, 11_000, 'a status that did not come is no sign of life')
})

t.test('a thread that never answers is not waited for', async t => {
  const watch = new DataWatch({
    recent: { sample: () => {} },
    ask: () => new Promise(() => {}),
    answeredAt: () => -Infinity,
  })
  t.equal(await watch.look(), undefined)
})

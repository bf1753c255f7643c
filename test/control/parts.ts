import t, { type Test } from 'tap'
import type { Config } from '../../src/config/config.ts'
import { silent } from '../../src/base/log.ts'
import type { Part } from '../../src/control/part.ts'
import { Parts } from '../../src/control/parts.ts'
import { configOf } from '../fixture/config.ts'

const BEFORE = configOf()
const AFTER = configOf({ zones: { extra: { www: '192.0.2.1' } }, cache: { maxTtl: '60s' } })

/** Parts that write down what is done to them. */
const partsOf = (t: Test, ...parts: readonly (Partial<Part> & { readonly name: string })[]) => {
  const done: string[] = []
  const all = new Parts({ log: silent, random: () => 0 })
  all.add(
    ...parts.map(part => ({
      start: () => void done.push(`${part.name} starts`),
      reload: async () => {
        done.push(`${part.name} reloads`)
        await null
        done.push(`${part.name} has reloaded`)
      },
      close: () => void done.push(`${part.name} closes`),
      ...part,
    })),
  )
  t.teardown(() => all.close(100))
  return { all, done }
}

t.test('those parts are reloaded of which a key has changed, one after the other', async t => {
  const { all, done } = partsOf(t, { name: 'data thread' }, { name: 'vips' }, { name: 'zones' })
  await all.start(BEFORE)
  t.strictSame(done.splice(0), ['data thread starts', 'vips starts', 'zones starts'])
  const used = (next: Config): void => void done.push(`used: ${next.cache.maxTtl}`)
  const plan = await all.reload(BEFORE, AFTER, [], used)
  t.strictSame([...plan.applied.keys()].toSorted(), ['cache.maxTtl', 'zones'])
  t.strictSame(done.splice(0), [
    'used: 60',
    'data thread reloads',
    'data thread has reloaded',
    'zones reloads',
    'zones has reloaded',
  ])
  await all.reload(AFTER, AFTER, ['vips'])
  t.strictSame(done.splice(0), ['vips reloads', 'vips has reloaded'], 'and those that always are')
})

t.test('a key that a part cannot apply now waits for a restart, and only that one', async t => {
  const asked: string[][] = []
  const needsRestart = (_before: Config, _after: Config, keys: readonly string[]): string[] => {
    asked.push([...keys])
    return [...keys]
  }
  const { all, done } = partsOf(t, { name: 'zones', needsRestart }, { name: 'data thread' })
  await all.start(BEFORE)
  done.length = 0
  const plan = await all.reload(BEFORE, AFTER)
  t.strictSame(asked, [['zones']], 'it is asked for its own keys')
  t.strictSame(plan.pending, ['zones'])
  t.strictSame(plan.next.zones, BEFORE.zones)
  t.equal(plan.next.cache.maxTtl, 60)
  t.strictSame(done, ['data thread reloads', 'data thread has reloaded'])
})

t.test('one part cannot keep the others from starting, being saved, shown or closed', async t => {
  const hangs = new Promise<void>(() => {})
  const saved: string[] = []
  const { all } = partsOf(
    t,
    {
      name: 'bad',
      save: () => Promise.reject(new Error('disk full')),
      status: () => [{ name: 'bad', detail: 'is ill' }],
      close: () => hangs,
    },
    { name: 'good', save: async () => void saved.push('good') },
    {
      name: 'failed',
      start: () => {
        throw new Error('no')
      },
    },
  )
  await all.start(BEFORE)
  t.strictSame(
    all.status().map(({ name, state }) => [name, state]),
    [
      ['bad', 'running'],
      ['good', 'running'],
      ['failed', 'failed'],
    ],
  )
  t.strictSame(all.trouble(), [
    { name: 'bad', detail: 'is ill' },
    { name: 'failed', detail: 'cannot start, is tried again: no' },
  ])
  await all.save(100)
  t.strictSame(saved, ['good'])
  t.strictSame(await all.close(20), ['bad'])
  t.strictSame(
    all.status().map(({ state }) => state),
    ['closed', 'closed', 'closed'],
  )
})

t.test('the routes and metrics of all parts are offered', async t => {
  const registered: unknown[] = []
  const route = { method: 'GET', path: '/v1/x', handle: () => ({ json: {} }) } as const
  const { all } = partsOf(
    t,
    { name: 'a', routes: () => [route] },
    { name: 'b', metrics: to => void registered.push(to) },
  )
  t.strictSame(all.routes(), [route])
  const metrics = {} as Parameters<typeof all.metrics>[0]
  all.metrics(metrics)
  t.strictSame(registered, [metrics])
})

import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { fail } from '../../src/base/error.ts'
import { silent } from '../../src/base/log.ts'
import type { Config } from '../../src/config/config.ts'
import { Parts } from '../../src/control/parts.ts'
import { Reloader, type ReloadOutcome } from '../../src/daemon/reloader.ts'
import { configOf } from '../fixture/config.ts'
import { until } from '../fixture/scripted-http.ts'

const running = configOf()
const quicker = configOf({ cache: { maxTtl: '60s' } })
const renamed = configOf({ cache: { maxTtl: '60s' }, node: 'other' })

const reloaderOf = (t: Test, read: () => Promise<Config>) => {
  const events: (string | ReloadOutcome)[] = []
  const parts = new Parts({ log: silent, random: () => 0 })
  parts.add({
    name: 'data thread',
    start: () => {},
    reload: (_before, after) => void events.push(`maxTtl ${after.cache.maxTtl}`),
    close: () => {},
  })
  const reloader = new Reloader(running, {
    file: 'spartan.yaml',
    read,
    parts,
    always: [],
    onBegin: () => void events.push('begin'),
    onEnd: outcome => void events.push(outcome),
  })
  t.teardown(() => parts.close(100))
  return { reloader, events, start: () => parts.start(running) }
}

t.test('what a file changes is in use; what needs a restart is told until it happens', async t => {
  let file = renamed
  const { reloader, events, start } = reloaderOf(t, async () => file)
  await start()
  t.match(reloader.status, { file: 'spartan.yaml', error: '', needsRestart: [] })
  const first = await reloader.reload()
  t.strictSame(first, {
    outcome: 'needs restart',
    applied: ['cache.maxTtl'],
    needsRestart: ['node'],
    error: '',
  })
  t.strictSame(events.splice(0), ['begin', 'maxTtl 60', first])
  t.equal(reloader.config.cache.maxTtl, 60)
  t.equal(reloader.config.node, running.node)
  t.strictSame((await reloader.reload()).needsRestart, ['node'], 'again')
  t.strictSame(reloader.status.needsRestart, ['node'])
  file = quicker
  t.match(await reloader.reload(), { outcome: 'applied', applied: [], needsRestart: [] })
  t.strictSame(reloader.status.needsRestart, [])
  t.equal(reloader.reloads, 3)
  t.equal(reloader.refused, 0)
})

t.test('a file that cannot be used changes nothing, and the next one is tried', async t => {
  let file = (): Config => quicker
  const { reloader, events, start } = reloaderOf(t, async () => file())
  await start()
  for (const [er, error] of [
    [new Error('gone'), 'spartan.yaml: gone'],
    [
      fail('no', 'ECONFIG', {
        file: 'spartan.yaml',
        problems: [
          { line: 2, column: 5, path: 'a.b', message: 'is\nwrong' },
          { line: 3, column: 1, path: '', message: 'is missing' },
        ],
      }),
      'spartan.yaml:2:5: a.b: is\\u000awrong\nspartan.yaml:3:1: is missing',
    ],
  ] as const) {
    file = () => {
      throw er
    }
    const outcome = await reloader.reload()
    t.strictSame(outcome, { outcome: 'refused', applied: [], needsRestart: [], error })
    t.strictSame(events.splice(0), ['begin', outcome])
    t.equal(reloader.config, running)
    t.equal(reloader.status.error, error)
  }
  t.equal(reloader.refused, 2)
  file = () => quicker
  t.match(await reloader.reload(), { outcome: 'applied' })
  t.equal(reloader.status.error, '')
})

t.test('reloads follow one another, so that the last file stays', async t => {
  const reads: ((config: Config) => void)[] = []
  const { reloader, events, start } = reloaderOf(
    t,
    () => new Promise<Config>(resolve => reads.push(resolve)),
  )
  await start()
  const both = [reloader.reload(), reloader.reload()]
  await until(() => reads.length > 0)
  await sleep(10)
  t.equal(reads.length, 1, 'the second waits')
  reads[0]!(quicker)
  await both[0]
  await until(() => reads.length > 1)
  reads[1]!(running)
  await both[1]
  t.strictSame(
    events.filter(event => typeof event === 'string'),
    ['begin', 'maxTtl 60', 'begin', `maxTtl ${running.cache.maxTtl}`],
  )
})

t.test('nothing is applied once the daemon is stopping', async t => {
  let read = (_config: Config): void => {}
  const { reloader, events, start } = reloaderOf(t, () => new Promise(resolve => (read = resolve)))
  await start()
  const late = reloader.reload()
  await until(() => events.length > 0)
  reloader.close()
  read(quicker)
  t.match(await late, { outcome: 'refused', error: 'the daemon is stopping' }, 'while it reads')
  t.match(await reloader.reload(), { outcome: 'refused', error: 'the daemon is stopping' })
  t.strictSame(events, ['begin'])
  t.equal(reloader.config, running)
})

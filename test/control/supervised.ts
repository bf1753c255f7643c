import t from 'tap'
import { silent, type Log } from '../../src/base/log.ts'
import type { Part } from '../../src/control/part.ts'
import { Supervised } from '../../src/control/supervised.ts'
import { configOf } from '../fixture/config.ts'
import { until } from '../fixture/scripted-http.ts'

const config = configOf()

const supervised = (part: Partial<Part>, now = Date.now, startMs?: number) => {
  const said: string[] = []
  const note = (msg: string): void => void said.push(msg)
  const log: Log = { ...silent, error: note, warn: note, info: note }
  const one = new Supervised({
    part: { name: 'x', start: () => {}, close: () => {}, ...part },
    log,
    random: () => 0,
    now,
    ...(startMs === undefined ? {} : { startMs }),
  })
  return { one, said }
}

t.test('a part that cannot start is reported once, shown, and tried until it runs', async t => {
  let tries = 0
  const { one, said } = supervised({
    start: () => {
      if (++tries < 3) throw new Error('the port is taken')
    },
  })
  await one.start(config)
  t.match(one.status, { state: 'failed', error: 'the port is taken', failures: 1 })
  t.match(one.trouble(), [{ name: 'x', detail: /the port is taken/ }])
  await until(() => one.status.state === 'running')
  t.strictSame(one.trouble(), [])
  t.strictSame(said, [
    'a part cannot start, DNS goes on without it; it is tried again',
    'a part that could not start runs now',
  ])
  t.equal(await one.close(1_000), true, 'it has closed')
})

t.test('pauses between its tries grow, and a reload begins with a short one again', async t => {
  const pauses: number[] = []
  let next = (): void => {}
  const set = t.capture(globalThis, 'setTimeout', ((run: () => void, ms: number) => {
    pauses.push(ms)
    next = run
    return { unref: () => ({}) }
  }) as unknown as typeof setTimeout)
  t.teardown(() => set.restore())
  const { one } = supervised({
    start: () => {
      throw new Error('no')
    },
  })
  await one.start(config)
  for (let tries = 1; tries < 3; tries++) {
    next()
    await new Promise(resolve => setImmediate(resolve))
  }
  t.strictSame(pauses.splice(0), [250, 500, 1_000])
  await one.reload(config, config)
  t.strictSame(
    pauses.filter(ms => ms < 1_000),
    [250],
  )
})

t.test('a part that hangs holds up neither a reload nor the end', async t => {
  const { one, said } = supervised({
    start: () => new Promise(() => {}),
    close: () => new Promise(() => {}),
  })
  void one.start(config)
  t.equal(one.status.state, 'starting')
  t.equal(await one.close(20), false, 'it has not closed')
  t.strictSame(said, ['a part did not close in time'])
})

t.test('a reload that throws starts the part anew, and the log says so', async t => {
  let starts = 0
  const { one, said } = supervised({
    start: () => void starts++,
    reload: () => {
      throw new Error('no')
    },
  })
  await one.start(config)
  await one.reload(config, config)
  t.equal(starts, 2)
  t.match(one.status, { state: 'running', failures: 0 })
  t.strictSame(said, [
    'a part cannot start, DNS goes on without it; it is tried again',
    'a part that could not start runs now',
  ])
  await one.close(1_000)
})

t.test('a reload that takes too long is shown, not waited for, and its end counts', async t => {
  for (const fails of [false, true]) {
    let starts = 0
    let end = (): void => {}
    const { one, said } = supervised(
      {
        start: () => void starts++,
        reload: () =>
          new Promise(
            (resolve, reject) => (end = fails ? () => reject(new Error('no')) : () => resolve()),
          ),
      },
      Date.now,
      20,
    )
    await one.start(config)
    await one.reload(config, config)
    t.equal(one.status.state, 'starting')
    t.strictSame(said, ['a part does not finish its reload; nothing waits for it any more'])
    end()
    await until(() => one.status.state === 'running')
    t.equal(starts, fails ? 2 : 1, fails ? 'it is started anew' : 'it goes on')
    t.strictSame(
      said.slice(1),
      fails
        ? [
            'a part cannot start, DNS goes on without it; it is tried again',
            'a part that could not start runs now',
          ]
        : ['a part has finished its reload'],
    )
    await one.close(1_000)
  }
})

t.test('a part that was closed while it reloaded stays closed', async t => {
  for (const [what, part] of [
    ['its reload fails afterwards', { reload: () => Promise.reject(new Error('no')) }],
    ['it was being started anew', {}],
  ] as const) {
    let starts = 0
    const { one, said } = supervised({ start: () => void starts++, ...part })
    await one.start(config)
    const reloading = one.reload(config, config)
    t.equal(await one.close(1_000), true)
    await reloading
    t.equal(one.status.state, 'closed', what)
    t.equal(starts, 1, what)
    t.strictSame(said, [], what)
  }
})

t.test('a part that starts for longer than it should is shown, with how long', async t => {
  let time = 1_000_000
  const { one } = supervised({ start: () => new Promise(() => {}) }, () => time)
  void one.start(config)
  time += 5_000
  t.strictSame(one.trouble(), [])
  time += 2_000
  t.strictSame(one.trouble(), [{ name: 'x', detail: 'has been starting for 7 s' }])
  await one.close(20)
})

t.test('a part that failed and was turned off has no failures when it is wanted again', async t => {
  let [works, wanted] = [false, true]
  const { one, said } = supervised({
    wanted: () => wanted,
    start: () => {
      if (!works) throw new Error('no')
    },
  })
  await one.start(config)
  wanted = false
  await one.reload(config, config)
  t.match(one.status, { state: 'off', failures: 0 })
  works = wanted = true
  await one.reload(config, config)
  t.equal(one.status.state, 'running')
  t.strictSame(said, ['a part cannot start, DNS goes on without it; it is tried again'])
  await one.close(1_000)
})

t.test('only a part that runs is asked to write its files', async t => {
  let saves = 0
  const { one } = supervised({ save: async () => void saves++ })
  await one.save(100)
  t.equal(saves, 0)
  await one.start(config)
  await one.save(100)
  t.equal(saves, 1)
  await one.close(1_000)
  await one.save(100)
  t.equal(saves, 1)
})

t.test('a part that throws when it is closed is closed', async t => {
  const { one, said } = supervised({ close: () => Promise.reject(new Error('no')) })
  await one.start(config)
  t.equal(await one.close(1_000), true)
  t.strictSame(said, ['a part did not close well'])
})

t.test('a part that the configuration does not ask for is off', async t => {
  const { one } = supervised(
    { wanted: () => false, start: () => void t.fail('not asked for') },
    () => 1_000_000,
  )
  await one.start(config)
  t.match(one.status, { state: 'off', since: 1_000_000 })
  t.strictSame(one.trouble(), [])
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { silent } from '../../src/base/log.ts'
import { HeavyHitters } from '../../src/cli/heavy-hitters.ts'
import { runCli } from '../../src/cli/program.ts'
import type { Route } from '../../src/http/route.ts'
import { AdminServer } from '../../src/ops/admin.ts'
import { seeded } from '../fixture/random.ts'
import { status } from '../fixture/status.ts'

t.test('the frequent ones are found among many, in bounded memory', async t => {
  const hitters = new HeavyHitters(100)
  const { int } = seeded(3)
  for (let i = 0; i < 20_000; i++) {
    hitters.add(`rare-${int(1_000_000)}`)
    if (i % 4 === 0) hitters.add('often')
    if (i % 8 === 0) hitters.add('sometimes')
  }
  const [first, second, third] = hitters.top(3)
  t.match([first?.key, second?.key], ['often', 'sometimes'])
  // The true shares are 0.18 and 0.09; each may be shown lower by a hundredth.
  t.ok(first!.share > 0.165 && first!.share <= 0.182, `${first!.share}`)
  t.ok(second!.share > 0.075 && second!.share <= 0.091, `${second!.share}`)
  t.ok(third!.share < 0.001, `${third!.share}`)
  t.ok(hitters.top(1_000_000).length <= 100)
  for (let i = 0; i < 60; i++) hitters.decay(0.7)
  hitters.add('new')
  t.match(hitters.top(9), [{ key: 'new' }], 'what is long ago fades away')
})

t.test('top shows who asks for what, from a sample of the query log', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'top-'))
  const asked: string[] = []
  const line = (name: string, client: string, outcome: string): string =>
    `${JSON.stringify({ name, type: 'A', client, outcome })}\n`
  const routes: Route[] = [
    {
      method: 'GET',
      path: '/v1/status',
      handle: () => ({ json: { ...status(), lastMinute: { ...status().lastMinute, qps: 9_900 } } }),
    },
    {
      method: 'GET',
      path: '/v1/log',
      handle: ({ query }) => {
        asked.push(query.toString())
        const lines = [
          ...Array.from({ length: 6 }, () => line('web.mesos', '10.0.0.1', 'hit')),
          ...Array.from({ length: 2 }, () => line('gone\u001b[2J.mesos', '10.0.0.2', 'failure')),
          '\n',
          '{"time":"2026-01-01T00:00:00.000Z","dropped":3}\n',
        ]
        return { chunks: lines }
      },
    },
    { method: 'GET', path: '/v1/top', handle: () => ({ json: [] }) },
  ]
  const server = new AdminServer({ routes, log: silent })
  const path = join(dir, 'admin.sock')
  await server.listen({ path })
  t.teardown(async () => {
    await server.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const top = async (...args: string[]): Promise<string> => {
    let out = ''
    const exit = await runCli(['top', '--once', '--interval', '50ms', '--admin', path, ...args], {
      out: text => void (out += text),
      err: text => void (out += text),
      input: async () => '',
      tty: true,
      interrupted: new AbortController().signal,
    })
    t.equal(exit, 0, out)
    return out
  }
  const text = await top()
  t.strictSame(asked, ['sample=20'], 'no more than 500 queries per second are read')
  t.match(text, /^agent-17 {2}9900 queries\/s {2}94\.3 % hits/)
  t.match(text, /^hit 75\.0 % {2}failure 25\.0 %$/m)
  t.match(text, /^NOERROR [\d.]+ %/m)
  t.match(text, /^UPSTREAM +STATE +LATENCY +WON\n192\.0\.2\.5:61053 +up/m)
  t.match(text, /^SHARE +CLIENT\n75\.0 % +10\.0\.0\.1\n25\.0 % +10\.0\.0\.2$/m)
  t.match(text, /^SHARE +TYPE +NAME\n75\.0 % +A +web\.mesos\n25\.0 % +A +gone\\u001b\[2J\.mesos$/m)
  t.match(JSON.parse(await top('--json')), {
    qps: 9_900,
    outcomes: [{ outcome: 'hit', share: 0.75 }, { outcome: 'failure' }],
    clients: [{ client: '10.0.0.1' }, { client: '10.0.0.2' }],
    upstreams: [{ name: '192.0.2.5:61053', wins: 0 }],
    top: [{ name: 'web.mesos', type: 'A', share: 0.75 }, {}],
  })
})

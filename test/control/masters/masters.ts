import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Http } from '../../../src/http/client.ts'
import { mastersOf, parseMaster } from '../../../src/control/masters/list.ts'
import { Masters, type MastersOptions } from '../../../src/control/masters/masters.ts'
import { afterLook, noMasters, type MastersState } from '../../../src/control/masters/schedule.ts'
import { hostPort } from '../../../src/base/ip.ts'
import { silent } from '../../../src/base/log.ts'
import { huge, json, scriptedHttp, status, truncated, until } from '../../fixture/scripted-http.ts'
import { folder } from '../../fixture/folder.ts'

const options = { refreshMs: 120_000, retryMs: 5_000, random: () => 0.5 }
const list = (...addresses: string[]) => addresses.map(address => ({ address, port: 61053 }))

t.test('a master is an address with or without a port', async t => {
  for (const [text, expected] of [
    ['192.0.2.1', '192.0.2.1:61053'],
    [' 192.0.2.1 ', '192.0.2.1:61053'],
    ['192.0.2.1:5353', '192.0.2.1:5353'],
    ['2001:DB8::1', '[2001:db8::1]:61053'],
    ['[2001:db8::1]', '[2001:db8::1]:61053'],
    ['[2001:db8::1]:53', '[2001:db8::1]:53'],
    ['192.0.2.1:0', ''],
    ['192.0.2.1:70000', ''],
    ['192.0.2', ''],
    ['master.example.org', ''],
    ['', ''],
  ] as const) {
    const master = parseMaster(text, 61053)
    t.equal(master ? hostPort(master.address, master.port) : '', expected, text)
  }
})

t.test('a list is taken whole or not at all', async t => {
  t.same(mastersOf(['192.0.2.1', '192.0.2.2', '192.0.2.1'], 61053), list('192.0.2.1', '192.0.2.2'))
  const status_ = [
    { code: 3, description: 'serving', hostname: '192.0.2.1', isLeader: true },
    { code: 1, description: 'down', hostname: '192.0.2.2', isLeader: false },
  ]
  t.same(mastersOf(status_, 61053), list('192.0.2.1', '192.0.2.2'))
  for (const wrong of [
    null,
    {},
    'x',
    [],
    ['192.0.2.1', 'x'],
    [null],
    [7],
    [{}],
    Array.from({ length: 65 }, () => '192.0.2.1'),
  ]) {
    t.throws(() => mastersOf(wrong, 61053), { code: 'EDATA' }, JSON.stringify(wrong)?.slice(0, 40))
  }
})

t.test('a good list is used and looked at again late, a failed look changes nothing', async t => {
  const good = (state: MastersState, ...of: string[]) =>
    afterLook(state, { type: 'good', masters: list(...of) }, options)
  const first = good(noMasters, '192.0.2.1')
  t.match(first, {
    changed: true,
    store: true,
    nextMs: 120_000,
    state: { origin: 'source', failures: 0 },
  })
  const failed = afterLook(first.state, { type: 'failed', why: 'no answer' }, options)
  t.match(failed, {
    changed: false,
    store: false,
    nextMs: 5_000,
    state: { masters: list('192.0.2.1'), failures: 1, trouble: 'no answer' },
  })
  t.match(
    good(failed.state),
    { changed: false, state: { failures: 2, masters: list('192.0.2.1') } },
    'an empty list is a failed look',
  )
  t.match(good(failed.state, '192.0.2.1'), {
    changed: false,
    store: false,
    state: { failures: 0, trouble: '' },
  })
  t.match(good(failed.state, '192.0.2.2'), { changed: true, store: true })
  const jitter = [0, 1].map(
    r => afterLook(noMasters, { type: 'failed', why: '' }, { ...options, random: () => r }).nextMs,
  )
  t.same(jitter, [4_000, 6_000])
})

t.test('a stored list serves until the source has one', async t => {
  const stored = afterLook(noMasters, { type: 'stored', masters: list('192.0.2.1') }, options)
  t.match(stored, { changed: true, store: false, state: { origin: 'disk' } })
  t.match(afterLook(stored.state, { type: 'good', masters: list('192.0.2.1') }, options), {
    changed: false,
    store: true,
  })
  t.match(afterLook(noMasters, { type: 'stored', masters: [] }, options), {
    changed: false,
    state: { origin: 'none' },
  })
})

const started = async (
  t: { teardown(fn: () => unknown): unknown },
  more: Partial<MastersOptions> & Pick<MastersOptions, 'from'>,
) => {
  const http = new Http()
  const told: string[] = []
  const masters = new Masters({
    http,
    log: silent,
    stateDir: '',
    onChange: now => told.push(now.map(m => m.address).join(' ')),
    refreshMs: 10,
    retryMs: 10,
    random: () => 0.5,
    watchMs: 20,
    ...more,
  })
  t.teardown(async () => {
    await masters.close()
    await http.close()
  })
  await masters.start()
  return { masters, told }
}

t.test('a list in the configuration is there at once', async t => {
  const { masters, told } = await started(t, {
    from: { source: 'static', addresses: ['192.0.2.1', '192.0.2.2:5353'], port: 61053 },
  })
  t.same(told, ['192.0.2.1 192.0.2.2'])
  t.same(masters.masters, [
    { address: '192.0.2.1', port: 61053 },
    { address: '192.0.2.2', port: 5353 },
  ])
})

t.test('a list at a URL is followed, and bad answers keep the last good one', async t => {
  const server = await scriptedHttp(t, '127.14.3.1')
  const dir = folder(t)
  server.on(
    '/list',
    json(['192.0.2.1']),
    json([]),
    json('nonsense'),
    truncated('["192'),
    huge,
    json(['x']),
    status(500),
    json(['192.0.2.2']),
  )
  const from = { source: 'url', url: `${server.base}/list`, port: 61053 } as const
  const { masters, told } = await started(t, { from, stateDir: join(dir, 'state') })
  await until(() => told.length === 2)
  t.same(told, ['192.0.2.1', '192.0.2.2'])
  t.match(masters.status, { source: 'url', origin: 'source', failures: 0, trouble: '' })
  await until(() => masters.status.looks > 9)
  t.same(JSON.parse(await readFile(join(dir, 'state', 'masters.json'), 'utf8')), [
    '192.0.2.2:61053',
  ])

  await masters.close()
  server.on('/list', status(503))
  const restarted = await started(t, { from, stateDir: join(dir, 'state') })
  t.same(restarted.told, ['192.0.2.2'], 'a restart during an outage finds the list')
  t.match(restarted.masters.status, { origin: 'disk', failures: 1, trouble: /answered 503/ })
})

t.test('a stored list that cannot be used is passed over', async t => {
  const dir = folder(t, { 'masters.json': '["192.0' })
  const { told } = await started(t, {
    from: { source: 'static', addresses: ['192.0.2.1'], port: 1 },
    stateDir: dir,
  })
  t.same(told, ['192.0.2.1'])
  const server = await scriptedHttp(t, '127.14.3.1')
  server.on('/list', status(503))
  t.same(
    (
      await started(t, {
        from: { source: 'url', url: `${server.base}/list`, port: 1 },
        stateDir: dir,
      })
    ).told,
    [],
  )
})

t.test('Exhibitor is asked for its cluster status', async t => {
  const server = await scriptedHttp(t, '127.14.3.1')
  server.on('/exhibitor/v1/cluster/status', json([{ hostname: '192.0.2.1' }]))
  const base = { port: 61053, source: 'exhibitor' } as const
  t.same((await started(t, { from: { ...base, exhibitor: `${server.base}/` } })).told, [
    '192.0.2.1',
  ])
  t.same(
    (
      await started(t, {
        from: { ...base, exhibitor: `${server.base}/exhibitor/v1/cluster/status` },
      })
    ).told,
    ['192.0.2.1'],
  )
})

t.test('a name’s addresses are the masters, in one order', async t => {
  let answer: readonly string[] | undefined = ['2001:db8::1', '192.0.2.2', '192.0.2.1']
  const resolve = async (name: string): Promise<readonly string[]> => {
    if (name !== 'masters.example.org' || !answer) throw new Error('no answer')
    return answer
  }
  const from = { source: 'dns', name: 'masters.example.org', port: 61053 } as const
  const { masters, told } = await started(t, { from, resolve })
  t.same(told, ['192.0.2.1 192.0.2.2 2001:db8::1'])
  answer = ['192.0.2.1', '192.0.2.2', '2001:db8::1'] // shuffled, as DNS does
  await masters.look()
  answer = undefined
  await masters.look()
  t.equal(told.length, 1)
  t.match((await started(t, { from })).masters.status, {
    origin: 'none',
    trouble: /nothing to resolve/,
  })
})

t.test('a file is watched', async t => {
  const dir = folder(t, { list: '["192.0.2.1"]' })
  const file = join(dir, 'list')
  const { masters, told } = await started(t, {
    from: { source: 'file', file, port: 61053 },
    refreshMs: 60_000,
    retryMs: 60_000,
  })
  await writeFile(file, '["192.0.2.1", "192.0.2.2"]')
  await until(() => told.length === 2)
  await writeFile(file, '[')
  await until(() => masters.status.failures > 0)
  t.same(told, ['192.0.2.1', '192.0.2.1 192.0.2.2'])
  t.equal(masters.masters.length, 2)
})

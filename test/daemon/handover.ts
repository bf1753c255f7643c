import { createServer } from 'node:http'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silent, type Log } from '../../src/base/log.ts'
import { Parts } from '../../src/control/parts.ts'
import {
  handoverConfig,
  handoverFolder,
  prepareHandover,
  saveRoute,
} from '../../src/daemon/handover.ts'
import { configOf } from '../fixture/config.ts'

t.test('the configuration of a handover', async t => {
  const gossip = { seeds: ['10.0.0.2'], insecure: true }
  const rows: readonly [title: string, sections: object, wanted: object][] = [
    [
      'serves nothing to operators',
      { admin: { listen: '127.0.0.1:62080', socket: '/run/a.sock' }, dnstap: { socket: '/run/t' } },
      { admin: { listen: undefined, socket: '' }, dnstap: undefined },
    ],
    [
      'writes into a folder of its own, and reads the cache where it is',
      { stateDir: '/var/lib/spartan', cache: { snapshot: '/var/lib/spartan/cache' }, gossip },
      {
        stateDir: '/copies',
        cache: { snapshot: '/var/lib/spartan/cache' },
        gossip: { stateDir: '/copies' },
      },
    ],
    ['keeps nothing where the daemon keeps nothing', { stateDir: '' }, { stateDir: '' }],
    [
      'leaves the port of the gossip to the daemon, and its address is the same',
      { gossip: { ...gossip, bind: '10.0.0.1:7946' } },
      {
        gossip: {
          bind: { address: '10.0.0.1', port: 0 },
          advertise: { address: '10.0.0.1', port: 7946 },
          seeds: [{ address: '10.0.0.2', port: 7946 }],
        },
      },
    ],
    [
      'has the address that is advertised',
      { gossip: { ...gossip, bind: '0.0.0.0:7946', advertise: '10.0.0.9' } },
      { gossip: { bind: { port: 0 }, advertise: { address: '10.0.0.9', port: 7946 } } },
    ],
    [
      "has the host's own address where none is said",
      { gossip: { ...gossip, bind: '0.0.0.0:7946' } },
      { gossip: { bind: { address: '0.0.0.0', port: 0 }, advertise: undefined } },
    ],
    ['has no gossip where the daemon has none', {}, { gossip: undefined }],
  ]
  for (const [title, sections, wanted] of rows)
    t.match(handoverConfig(configOf(sections), '/copies'), wanted, title)
  const { listen, upstreams, forwardZones, zones, limits } = configOf({ upstreams: ['10.0.0.3'] })
  t.match(
    handoverConfig(configOf({ upstreams: ['10.0.0.3'] }), '/copies'),
    { listen, upstreams, forwardZones, zones, limits },
    'everything else is as in the daemon',
  )
})

/** A daemon that is asked to save, at a socket; `answer` is what it says. */
const daemonAt = async (t: Test, socket: string, onSave: () => void): Promise<void> => {
  const server = createServer((req, res) => {
    if (req.method === 'POST' && req.url === '/v1/save') onSave()
    res.end('{"saved":true}')
  })
  server.listen(socket)
  await once(server, 'listening')
  t.teardown(() => server.close())
}

const place = (t: Test) => {
  // The path of a Unix socket is short.
  const short = mkdtempSync(join(tmpdir(), 'handover-'))
  t.teardown(() => rmSync(short, { recursive: true, force: true }))
  const socket = join(short, 'a.sock')
  const dir = t.testdir({ state: { 'ring.json': 'old', deeper: { x: '' } }, copies: {} })
  const said: string[] = []
  const log: Log = { ...silent, warn: msg => void said.push(msg) }
  const state = join(dir, 'state')
  const config = configOf({
    stateDir: state,
    cache: { snapshot: join(state, 'cache') },
    admin: { socket },
  })
  return { state, copies: join(dir, 'copies'), socket, said, log, config }
}

t.test('it has what the daemon wrote when it was asked to', async t => {
  const { state, copies, socket, said, log, config } = place(t)
  await daemonAt(t, socket, () => {
    for (const name of ['ring.json', 'records', 'cache', 'records.new'])
      writeFileSync(join(state, name), 'new')
  })
  t.equal((await prepareHandover(config, copies, log)).stateDir, copies)
  t.strictSame(readdirSync(copies).sort(), ['records', 'ring.json'], 'no cache, nothing half')
  t.equal(readFileSync(join(copies, 'ring.json'), 'utf8'), 'new')
  t.strictSame(said, [])
})

t.test('a daemon that does not answer leaves it what was written before', async t => {
  const { copies, said, log, config } = place(t)
  await prepareHandover(config, copies, log)
  t.equal(readFileSync(join(copies, 'ring.json'), 'utf8'), 'old')
  t.match(said, [/has not written/])
})

t.test('what cannot be copied is said, and it begins without', async t => {
  const { state, copies, socket, said, log, config } = place(t)
  await daemonAt(t, socket, () => {})
  const none = { ...config, stateDir: join(state, 'nowhere') }
  await prepareHandover(none, join(copies, 'a'), log)
  t.strictSame(said, [], 'a daemon that has written nothing yet is no trouble')
  mkdirSync(join(copies, 'ring.json'))
  t.equal((await prepareHandover(config, copies, log)).stateDir, copies)
  t.match(said, [/cannot be copied/])
})

t.test('it needs the folder of its unit', async t => {
  t.equal(handoverFolder({ RUNTIME_DIRECTORY: '/run/spartan-handover' }), '/run/spartan-handover')
  t.throws(() => handoverFolder({}), { code: 'EUSAGE', message: /spartan-handover\.service/ })
})

t.test('all running parts save, one that fails or is not used keeps none from it', async t => {
  const saved: string[] = []
  const parts = new Parts({ log: silent, random: () => 0 })
  const part = (name: string, save?: () => Promise<void>, wanted = true) => ({
    name,
    wanted: () => wanted,
    start: () => {},
    close: () => {},
    ...(save && { save }),
  })
  const note = (name: string) => async () => void saved.push(name)
  parts.add(
    part('broken', () => Promise.reject(new Error('disk full'))),
    part('none'),
    part('off', note('off'), false),
    part('well', note('well')),
  )
  await parts.start(configOf({}))
  const { method, path, handle } = saveRoute(parts)
  t.match({ method, path }, { method: 'POST', path: '/v1/save' })
  const request = { params: {}, query: new URLSearchParams(), body: undefined, headers: {} }
  t.match(await handle({ ...request, gone: new AbortController().signal }), {
    json: { saved: true },
  })
  t.strictSame(saved, ['well'])
  const hangs = new Parts({ log: silent, random: () => 0 })
  hangs.add(part('slow', () => new Promise(() => {})))
  await hangs.start(configOf({}))
  await hangs.save(10)
  await Promise.all([parts.close(100), hangs.close(100)])
})

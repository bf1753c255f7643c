/**
 * Parts that cannot start, hang or die, in the real program: DNS answers, the status shows the problem, and the
 * process ends in time with the right exit status.
 */
import t from 'tap'
import { spawn, spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, ownAddress } from '../fixture/address.ts'
import { ask } from '../fixture/client.ts'
import { daemon, PROGRAM, type Daemon, type Settings } from '../fixture/daemon.ts'

t.setTimeout(600_000)

const dir = mkdtempSync(join(tmpdir(), 'spartan-test-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
const file = (name: string, text: string, mode = 0o600): string => {
  const path = join(dir, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}
const KEYS = JSON.stringify([Buffer.alloc(32, 7).toString('base64')])
const ring = async () => ({ bind: `${ownAddress()}:7946`, seeds: [] })

type Parts = readonly { name: string; state: string; error: string }[]
const partOf = async (d: Daemon, name: string) =>
  ((await d.status())['parts'] as Parts).find(part => part.name === name)

/** An obstacle, the part that fails because of it, and the text of its error. */
const obstacles: readonly (readonly [
  says: string,
  part: string,
  error: RegExp,
  settings: () => Promise<Settings>,
])[] = [
  [
    'the keyring is missing',
    'gossip',
    /cannot read the keyring/,
    async () => ({ gossip: { ...(await ring()), keyring: join(dir, 'nowhere') } }),
  ],
  [
    'the keyring is open to others',
    'gossip',
    /open to others/,
    async () => ({ gossip: { ...(await ring()), keyring: file('open', KEYS, 0o644) } }),
  ],
  [
    'the keyring is no keyring',
    'gossip',
    /no JSON/,
    async () => ({ gossip: { ...(await ring()), keyring: file('noise', '{') } }),
  ],
  [
    'the folder of the gossip cannot be made',
    'gossip',
    /ENOTDIR|EEXIST/,
    async () => ({
      gossip: { ...(await ring()), insecure: true, stateDir: join(file('plain', ''), 'below') },
    }),
  ],
  [
    'the port of the gossip is taken',
    'gossip',
    /./,
    async () => {
      const address = ownAddress()
      const port = await freePort([address])
      const taken = createSocket('udp4').bind({ address, port, exclusive: true })
      await once(taken, 'listening')
      t.teardown(() => taken.close())
      return { gossip: { bind: `${address}:${port}`, seeds: [], insecure: true } }
    },
  ],
  [
    'the folder of the cache snapshot cannot be made',
    'cache snapshot',
    /ENOTDIR|EEXIST/,
    async () => ({ cache: { snapshot: join(file('plain', ''), 'below', 'cache') } }),
  ],
]

for (const [says, name, error, settings] of obstacles)
  t.test(`${says}: DNS answers, the status says it, and SIGTERM ends all`, async t => {
    const d = await daemon(t, await settings())
    t.equal((await ask(d.at, 'ready.spartan')).status, 'NOERROR')
    const part = await partOf(d, name)
    t.equal(part?.state, 'failed')
    t.match(part?.error, error)
    t.match(await d.status(), { health: { ready: true, degraded: true } })
    t.equal(await d.metric('part_up', { part: name }), 0)
    const line = 'a part cannot start, DNS goes on without it; it is tried again'
    await d.until(line)
    t.equal(d.lines(line).length, 1, 'it is said once')
    t.equal(await d.stop(), 0)
  })

t.test('a keyring that comes later is used without a restart', async t => {
  const keyring = join(dir, 'later')
  const d = await daemon(t, { gossip: { ...(await ring()), keyring } })
  t.equal((await partOf(d, 'gossip'))?.state, 'failed')
  file('later', KEYS)
  await d.until('a part that could not start runs now')
  t.equal((await partOf(d, 'gossip'))?.state, 'running')
})

t.test('a folder of VIPs that cannot be read is trouble, not an end', async t => {
  const d = await daemon(t, { vips: { files: [join(file('plain', ''), 'vips.d')] } })
  t.equal((await ask(d.at, 'ready.spartan')).status, 'NOERROR')
  t.match(JSON.stringify((await d.status())['health']), /vips\.d/)
})

t.test(
  'the port of the admin server is taken: its socket serves, and it comes when it is free',
  async t => {
    const address = ownAddress()
    const port = await freePort([address])
    const taken = createServer().listen(port, address)
    await once(taken, 'listening')
    const socket = join(dir, 'admin.sock')
    const d = await daemon(t, { admin: { listen: `${address}:${port}`, socket } })
    t.equal((await ask(d.at, 'ready.spartan')).status, 'NOERROR')
    const status = spawnSync(process.execPath, [PROGRAM, 'status', '--admin', socket], {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    t.match(status.stdout, /admin +cannot start, is tried again/)
    taken.close()
    await d.until('a part that could not start runs now')
  },
)

/**
 * Loaded into every thread of the daemon; only the data thread lives long enough to run it. An error
 * in one callback would not end that thread (bugs.ts), so it ends itself.
 */
const DIES = `data:text/javascript,${encodeURIComponent(
  "import { isMainThread } from 'node:worker_threads'; if (!isMainThread) setTimeout(() => process.exit(7), 4000).unref()",
)}`

t.test('the data thread dies: so does the process, and says so by its status', async t => {
  const d = await daemon(
    t,
    { gossip: { ...(await ring()), insecure: true }, vips: {} },
    { nodeArgs: ['--import', DIES], unready: true },
  )
  t.equal(await d.exited, 1)
  t.match(d.lines('the data thread died')[0], { err: /ended with code 7/ })
})

t.test('SIGTERM before the configuration is read', async t => {
  const config = join(dir, 'config')
  t.equal(spawnSync('mkfifo', [config]).status, 0)
  const child = spawn(process.execPath, [PROGRAM, 'run', '--config', config], {
    stdio: 'ignore',
    env: { ...process.env, NODE_OPTIONS: '', _TAPJS_PROCESSINFO_EXCLUDE_: '.' },
  })
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise(resolve => setTimeout(resolve, 3_000))
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const [status, signal] = await exited
  t.ok(status === 0 || signal === 'SIGTERM', `${status} ${signal}`)
})

t.test('SIGTERM while a part hangs in a read that never ends', async t => {
  const list = join(dir, 'masters')
  t.equal(spawnSync('mkfifo', [list]).status, 0)
  const d = await daemon(t, { masters: { source: 'file', file: list } })
  t.equal((await ask(d.at, 'ready.spartan')).status, 'NOERROR')
  d.kill('SIGTERM')
  t.equal(await d.exited, 0)
})

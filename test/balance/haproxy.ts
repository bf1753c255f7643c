/** Tests deploy/haproxy.cfg unchanged except for addresses: HAProxy follows a service from 2 tasks to 5 to 1. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ownAddress } from '../fixture/address.ts'
import { daemon } from '../fixture/daemon.ts'

const skip = spawnSync('haproxy', ['-v']).error ? 'SKIPPED: haproxy is not installed' : ''

t.test('HAProxy follows scaling without a failed request', { skip }, async t => {
  const dir = t.testdir({ vips: {} })
  const address = ownAddress()
  const ports: number[] = []
  for (let i = 0; i < 5; i++) {
    const server = createServer((_, res) => res.end(String(i)))
    await new Promise<void>(resolve => server.listen(0, address, resolve))
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    ports.push((server.address() as { port: number }).port)
  }
  const scale = (n: number): void =>
    writeFileSync(
      join(dir, 'vips', 'web.yaml'),
      JSON.stringify({
        framework: 'marathon',
        vips: [{ vip: '/web:80', backends: ports.slice(0, n).map(port => `${address}:${port}`) }],
      }),
    )
  scale(2)
  const d = await daemon(t, { vips: { files: [join(dir, 'vips')], answer: 'backends' } })
  const front = 20_000 + (process.pid % 10_000)
  // A short path, because HAProxy allows 97 octets.
  const run = mkdtempSync(join(tmpdir(), 'spartan-haproxy-'))
  t.teardown(() => rmSync(run, { recursive: true, force: true }))
  const socket = join(run, 'h.sock')
  const text = readFileSync(join(import.meta.dirname, '../../deploy/haproxy.cfg'), 'utf8')
    .replace('/run/haproxy/admin.sock mode 660', `${socket} mode 600`)
    .replace('bind :80', `bind ${address}:${front}`)
    .replace(/198\.51\.100\.([123]):53/g, (_, n: string) => {
      const at = d.addresses[Number(n) - 1]!
      return `${at.address}:${at.port}`
    })
  writeFileSync(join(dir, 'h.cfg'), text)
  const haproxy = spawn('haproxy', ['-db', '-f', join(dir, 'h.cfg')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  t.teardown(
    () =>
      new Promise<void>(resolve => {
        haproxy.once('exit', () => resolve())
        haproxy.kill('SIGKILL')
      }),
  )
  /** Number of servers that HAProxy considers up. */
  const up = (): Promise<number> =>
    new Promise(resolve => {
      const asked = connect(socket, () => asked.end('show stat\n'))
      let said = ''
      asked.on('data', part => (said += String(part)))
      asked.once('error', () => resolve(-1))
      asked.once('close', () =>
        resolve(
          said.split('\n').filter(line => /^web,web\d+,/.test(line) && /,UP,/.test(line)).length,
        ),
      )
    })
  const reach = async (n: number): Promise<void> => {
    while ((await up()) !== n) {
      if (haproxy.exitCode !== null) throw new Error('haproxy ended')
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
  await reach(2)
  const seen = new Map<string, number>()
  let on = true
  const get = (): Promise<string> =>
    new Promise(resolve => {
      const req = request({ host: address, port: front, agent: false }, res => {
        let body = ''
        res.on('data', part => (body += String(part)))
        res.on('end', () => resolve(res.statusCode === 200 ? body : `HTTP ${res.statusCode}`))
      })
      req.once('error', er => resolve(er.message))
      req.end()
    })
  const asking = (async () => {
    while (on) {
      const said = await get()
      seen.set(said, (seen.get(said) ?? 0) + 1)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  })()
  /** Forgets what was seen, and waits for so many requests, so that each server has its turn. */
  const requests = async (n: number): Promise<void> => {
    seen.clear()
    const count = (): number => [...seen.values()].reduce((sum, one) => sum + one, 0)
    while (count() < n) await new Promise(resolve => setTimeout(resolve, 20))
  }
  scale(5)
  await reach(5)
  await requests(100)
  t.same([...seen.keys()].sort(), ['0', '1', '2', '3', '4'], 'all five serve, and nothing failed')
  scale(1)
  await reach(1)
  t.same(
    [...seen.keys()].filter(said => !/^\d$/.test(said)),
    [],
    'nothing failed',
  )
  await requests(60)
  on = false
  await asking
  t.same([...seen.keys()], ['0'])
})

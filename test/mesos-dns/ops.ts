import t, { type Test } from 'tap'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readFileSync } from 'node:fs'
import { silent } from '../../src/base/log.ts'
import type { Endpoint } from '../../src/boundary/messages.ts'
import { Http } from '../../src/http/client.ts'
import { settingsFromJson } from '../../src/mesos-dns/config.ts'
import { MesosDnsServer } from '../../src/mesos-dns/server.ts'
import { staticMasters } from '../../src/mesos/master-list.ts'
import type { Status } from '../../src/ops/status.ts'
import { ownAddress } from '../fixture/address.ts'
import { ask } from '../fixture/client.ts'

// The metrics, the health and the status of the server for the masters, which are those of the agent.

const STATE = readFileSync(
  new URL('../fixture-data/mesos-dns/mesos-master-state.json', import.meta.url),
  'utf8',
)

type Reloads = { reloads: number; refused: number; error: string }

const serve = async (
  t: Test,
  more: object,
  reloads: () => Reloads = () => ({ reloads: 0, refused: 0, error: '' }),
): Promise<{ dns: Endpoint | undefined; http: string; stopMaster: () => void }> => {
  const address = ownAddress()
  let at = ''
  const master = createServer((req, res) =>
    req.method === 'GET'
      ? res.end(STATE.replaceAll('127.0.1.1:5050', at))
      : res.writeHead(404).end(),
  )
  await new Promise<void>(resolve => master.listen(0, address, resolve))
  at = `${address}:${(master.address() as AddressInfo).port}`
  const stopMaster = (): void => {
    master.closeAllConnections()
    master.close()
  }
  const json = { externalOn: false, refreshSeconds: 1, masters: [at], ...more }
  const { settings } = settingsFromJson(json, '/etc/mesos-dns.json', [])
  const server = new MesosDnsServer(
    { ...settings, listen: { address, port: 0 }, httpListen: { address, port: 0 } },
    {
      log: silent,
      version: '1.2.3',
      http: new Http(),
      masters: staticMasters([at]),
      resolve: async () => [],
      random: Math.random,
      reloads,
      minMs: 20,
      maxMs: 50,
    },
  )
  t.teardown(async () => {
    await server.close()
    stopMaster()
  })
  server.start()
  const died = await Promise.race([server.ready, server.ended])
  if (died !== undefined) throw new Error(died)
  const { dns, http } = server.endpoints
  return { dns: dns[0], http: `http://${http!.address}:${http!.port}`, stopMaster }
}

const get = async (url: string): Promise<{ status: number; text: string; type: string }> => {
  const answer = await fetch(url)
  const type = answer.headers.get('content-type') ?? ''
  return { status: answer.status, text: await answer.text(), type }
}

/** Repeats until the text matches. */
const until = async (url: string, wanted: RegExp): Promise<string> => {
  for (;;) {
    const { text } = await get(url)
    if (wanted.test(text)) return text
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

for (const compat of [false, true]) {
  t.test(`queries are counted by zone and rcode, compat ${compat}`, async t => {
    const { dns, http } = await serve(t, compat ? { compat: 'mesos-dns' } : {})
    for (let i = 0; i < 3; i++) await ask(dns!, 'nosuch.marathon.mesos')
    await ask(dns!, 'nosuch.marathon.mesos', 'A', { tcp: true })
    const text = await until(`${http}/metrics`, /rcode="NXDOMAIN"[^\n]* 4\n/)
    t.match(text, /spartan_dns_responses_total\{[^}]*zone="mesos"[^}]*rcode="NXDOMAIN"[^}]*\} 4\n/)
    t.match(text, /spartan_dns_requests_total\{[^}]*proto="tcp"[^}]*type="A"[^}]*\} 1\n/)
    t.match(text, /spartan_mesos_polls_total\{master="127\.[0-9.:]+"\} [1-9]/)
    t.match(text, /spartan_mesos_silence_seconds\{master="/)
    t.match(text, /spartan_mesos_tasks [1-9]\d\n/)
    t.match(text, /spartan_mesos_dns_names [1-9]\d\d\n/)
    t.match(text, /spartan_build_info\{version="1\.2\.3"/)
    t.notMatch(text, /zookeeper_current [01]/, 'of what is not used nothing is said')
  })
}

t.test('every path of the manual is served', async t => {
  const manual = readFileSync(new URL('../../deploy/spartan-mesos-dns.8', import.meta.url), 'utf8')
  const names: Record<string, string> = { host: 'leader.mesos', service: '_leader._tcp.mesos' }
  const paths = [...manual.matchAll(/^\.It Pa (\/\S*)(?: Ns Ar (\w+))?$/gm)]
    .map(([, path, name]) => `${path}${name ? names[name] : ''}`)
    .filter(path => !/^\/(etc|run)\//.test(path))
  t.equal(paths.length, 12)
  const { http } = await serve(t, {})
  await until(`${http}/readyz`, /^ok\n$/)
  for (const path of paths) t.equal((await get(`${http}${path}`)).status, 200, path)
  const { http: closed } = await serve(t, { enumerationOn: false })
  for (const path of ['/v1/enumerate', '/v1/axfr'])
    t.equal((await get(`${closed}${path}`)).status, 404, `${path} without enumerationOn`)
})

t.test('ready, then degraded when the master is gone, and live throughout', async t => {
  const { http, stopMaster } = await serve(t, {})
  await until(`${http}/readyz`, /^ok\n$/)
  t.match(await get(`${http}/healthz`), { status: 200, text: 'ok\n' })
  t.match(await until(`${http}/metrics`, /spartan_degraded 0\n/), /spartan_ready 1\n/)
  stopMaster()
  t.match(await until(`${http}/metrics`, /spartan_degraded 1\n/), /spartan_ready 1\n/)
  t.match(await get(`${http}/readyz`), { status: 200 }, 'the last good state is served')
  const failed = await until(`${http}/metrics`, /spartan_mesos_failures_total/)
  t.match(failed, /spartan_mesos_failures_total\{master="127\.[0-9.:]+",reason="[a-z]+"\} /)
})

t.test('the status is the one that spartan status shows', async t => {
  const reloads = { reloads: 2, refused: 1, error: 'the port is taken' }
  const { http } = await serve(t, {}, () => reloads)
  await until(`${http}/readyz`, /^ok\n$/)
  const { text, type } = await get(`${http}/v1/status`)
  t.equal(type, 'application/json')
  const status = JSON.parse(text) as Status
  t.match(status, {
    version: '1.2.3',
    config: { file: '/etc/mesos-dns.json', error: 'the port is taken' },
    masters: { source: 'static', list: [{ address: /^127\./ }], error: '' },
    zones: [{ apex: 'mesos', loaded: true }],
    listening: [{ udp: true, tcp: true, answers: true }],
    health: { ready: true, degraded: true },
  })
  t.match(status.health.trouble, [{ name: 'configuration', detail: /the port is taken/ }])
  const { text: metrics } = await get(`${http}/metrics`)
  t.match(metrics, /spartan_reloads_total 2\n/)
  t.match(metrics, /spartan_reload_failed_total 1\n/)
  t.match((await get(`${http}/`)).text, /<!doctype html>/i, 'the page, too')
})

t.test('with HTTP alone there is no listener to wait for', async t => {
  const { http } = await serve(t, { dnsOn: false })
  await until(`${http}/readyz`, /^ok\n$/)
  t.match((await get(`${http}/v1/version`)).text, /Mesos-DNS/, 'the API of the original stays')
  t.equal((await fetch(`${http}/metrics`, { method: 'POST' })).status, 405)
})

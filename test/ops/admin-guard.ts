/** The admin server over the network: TLS, a token, and the names that it answers to; scraped by a real Prometheus. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { silent } from '../../src/base/log.ts'
import { AdminServer } from '../../src/ops/admin.ts'
import { AdminGuard } from '../../src/ops/admin-guard.ts'
import { namesOf } from '../../src/ops/own-names.ts'
import { askDaemon } from '../../src/http/admin-client.ts'
import { freePort, ownAddress } from '../fixture/address.ts'
import { Authority, hasOpenssl } from '../fixture/certificates.ts'
import { daemon } from '../fixture/daemon.ts'

const TOKEN = 'a-token-that-is-long-enough'
const skip = !hasOpenssl && 'SKIPPED: openssl is not installed'

const dir = mkdtempSync(join(tmpdir(), 'guard-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text, { mode: 0o600 })
  return join(dir, name)
}

type Got = { readonly status: number; readonly body: string; readonly issuer: string }

const get = (url: string, ca: string, headers: Record<string, string> = {}): Promise<Got> =>
  new Promise((resolve, reject) => {
    // Node would compare the certificate with the Host header instead of the address.
    const options = { headers, agent: false, checkServerIdentity: () => undefined }
    const req = request(url, { ca: readFileSync(ca), ...options }, res => {
      const socket = res.socket as unknown as { getPeerCertificate(): { subject: { CN: string } } }
      const issuer = socket.getPeerCertificate().subject.CN
      let body = ''
      res.setEncoding('utf8').on('data', (part: string) => (body += part))
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body, issuer }))
    })
    req.on('error', reject)
    req.end()
  })

t.test('a daemon behind TLS and a token', { skip }, async t => {
  const ca = new Authority(dir)
  const address = ownAddress()
  const listen = `${address}:${await freePort([address])}`
  const { cert, key } = ca.issue(address)
  const token = file('token', `${TOKEN}\n`)
  const socket = join(dir, 'admin.sock')
  const one = await daemon(t, {
    admin: { listen, socket, tls: { cert, key }, token, hostNames: ['forwarder.example.org'] },
  })
  const url = `https://${listen}`
  const right = { authorization: `Bearer ${TOKEN}` }
  t.match(await get(`${url}/metrics`, ca.ca, right), { status: 200, body: /^spartan_ready 1$/m })
  for (const authorization of ['', 'Bearer', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN])
    for (const path of ['/metrics', '/', '/readyz', '/nowhere']) {
      const headers: Record<string, string> = authorization === '' ? {} : { authorization }
      t.match(await get(url + path, ca.ca, headers), { status: 401 }, `${path} ${authorization}`)
    }
  for (const [host, status] of [
    ['forwarder.example.org', 200],
    ['other.example.org', 403],
  ] as const)
    t.match(await get(`${url}/readyz`, ca.ca, { ...right, host }), { status }, host)
  t.match(await askDaemon({ socket, listen: undefined }, { path: '/readyz' }), { status: 200 })
  const page = await askDaemon({ socket, listen: undefined }, { path: '/v1/status' })
  t.notOk((page.text + one.words()).includes(TOKEN), 'the token is nowhere')

  // A new certificate is used without a restart.
  const next = ca.issue(address)
  renameSync(next.key, key)
  renameSync(next.cert, cert)
  const { issuer } = await get(`${url}/readyz`, ca.ca, right)
  t.equal(issuer, 'ca-2')

  await t.test(
    'Prometheus scrapes it',
    {
      skip:
        spawnSync('prometheus', ['--version']).error !== undefined &&
        'SKIPPED: prometheus is not installed',
    },
    async t => {
      const at = `${address}:${await freePort([address])}`
      const job = (name: string, credentials: string): object => ({
        job_name: name,
        scrape_interval: '1s',
        scheme: 'https',
        tls_config: { ca_file: ca.ca },
        authorization: { credentials },
        static_configs: [{ targets: [listen] }],
      })
      const config = file(
        'prometheus.yml',
        JSON.stringify({ scrape_configs: [job('right', TOKEN), job('wrong', 'another-token-x')] }),
      )
      const server = spawn(
        'prometheus',
        [
          `--config.file=${config}`,
          `--storage.tsdb.path=${dir}/tsdb`,
          `--web.listen-address=${at}`,
        ],
        { stdio: 'ignore' },
      )
      t.teardown(async () => {
        server.kill('SIGKILL')
        await once(server, 'exit')
      })
      const value = async (query: string): Promise<string> => {
        try {
          const url = `http://${at}/api/v1/query?query=${encodeURIComponent(query)}`
          const { data } = (await (await fetch(url)).json()) as {
            data: { result: { value: [number, string] }[] }
          }
          return data.result[0]?.value[1] ?? ''
        } catch {
          return ''
        }
      }
      while ((await value('up{job="right"}')) !== '1') await sleep(200)
      while ((await value('up{job="wrong"}')) === '') await sleep(200)
      t.equal(await value('up{job="wrong"}'), '0')
      t.equal(await value('spartan_ready{job="right"}'), '1')
    },
  )
})

t.test('files that cannot be used are named, and their content is not', { skip }, async t => {
  const { cert, key } = new Authority(dir, 'other').issue('127.0.0.1')
  const none = { cert: '', key: '' }
  const foreign = new Authority(dir, 'third').issue('127.0.0.1')
  for (const [files, says] of [
    [{ tls: none, token: join(dir, 'nowhere') }, /^admin\.token: .*nowhere does not exist$/],
    [{ tls: none, token: file('short', 'abc') }, /short must hold one token of at least 16/],
    [{ tls: none, token: file('two', `${TOKEN} ${TOKEN}`) }, /must hold one token/],
    [{ tls: { cert: file('noise', 'noise'), key }, token: '' }, /noise is no certificate in PEM/],
    [{ tls: { cert, key: cert }, token: '' }, /is no private key in PEM/],
    [{ tls: { cert, key: foreign.key }, token: '' }, /is not the key of admin\.tls\.cert/],
  ] as const)
    t.throws(() => new AdminGuard(files, silent), { code: 'EDATA', message: says })
  const server = new AdminServer({ routes: [], log: silent })
  t.teardown(() => server.close())
  const at = await server.listen(
    { address: ownAddress(), port: 0 },
    new AdminGuard({ tls: { cert, key }, token: '' }, silent),
  )
  t.ok('port' in at && at.port > 0, 'a certificate alone is enough')
})

t.test('the names of a host', async t => {
  for (const [host, hosts, resolvConf, names] of [
    ['agent-1', '', '', ['agent-1']],
    ['agent-1', '127.0.1.1 agent-1.example.org agent-1\n', '', ['agent-1', 'agent-1.example.org']],
    ['agent-1', '10.0.0.1 AGENT-1 Agent-1.Example.org # x', '', ['agent-1', 'agent-1.example.org']],
    ['agent-1', '10.0.0.1 agent-1 evil.example.net\n', '', ['agent-1']],
    ['agent-1', '#10.0.0.1 agent-1.x agent-1\n', '', ['agent-1']],
    ['a', '', 'search one.example two.example.\n', ['a', 'a.one.example', 'a.two.example']],
    ['a.example.org', '', 'search one.example\n', ['a.example.org']],
    ['a', '', 'domain x.example\nsearch .\n', ['a', 'a.x.example']],
  ] as const)
    t.strictSame(namesOf(host, hosts, resolvConf), names, `${host} ${hosts} ${resolvConf}`)
})

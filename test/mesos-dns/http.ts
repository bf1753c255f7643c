import t from 'tap'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import type { Endpoint } from '../../src/boundary/messages.ts'
import { parseState } from '../../src/mesos/api/state.ts'
import { silent } from '../../src/base/log.ts'
import { apiFacts } from '../../src/mesos-dns/api.ts'
import { settingsFromJson } from '../../src/mesos-dns/config.ts'
import { ApiServer } from '../../src/mesos-dns/http.ts'
import { recordsFromState } from '../../src/mesos/mesos-dns-names/records.ts'

const file = (name: string): string =>
  readFileSync(new URL(`../fixture-data/mesos-dns/${name}`, import.meta.url), 'utf8')

const LOOPBACK = '127.15.1.1'
const recorded = parseState(JSON.parse(file('mesos-master-state.json'))).state

const { settings } = settingsFromJson(
  {
    masters: ['127.0.1.1:5050', '127.0.1.2:5050', '127.0.1.3:5050'],
    port: 5311,
    refreshSeconds: 30,
    externalOn: false,
    listener: '127.0.1.1',
    httpListener: '127.0.1.1',
  },
  '(path)',
  [],
)

const serve = async (fields: object = {}, version = (): number => 1): Promise<Endpoint> => {
  const records = recordsFromState(recorded, settings.masters, {
    domain: 'mesos',
    ipSources: settings.ipSources,
    enforceRfc952: false,
    compat: false,
    srvWeight: 1,
    soaMname: settings.soa.mname,
    listenerAddresses: ['127.0.1.1'],
  })
  const facts = apiFacts({
    settings: { ...settings, ...fields },
    records,
    serial: () => 1795225477,
    version,
    release: 'dev',
  })
  const server = new ApiServer(facts, silent)
  t.teardown(() => server.close())
  return server.listen({ address: LOOPBACK, port: 0 })
}

type Got = {
  readonly status: number
  readonly type: string
  readonly length: string
  readonly body: string
}

const fetched = ({ address, port }: Endpoint, path: string, method = 'GET'): Promise<Got> =>
  new Promise((resolve, reject) => {
    const req = request({ host: address, port, path, method, agent: false }, res => {
      let body = ''
      res.setEncoding('utf8').on('data', (part: string) => (body += part))
      res.on('end', () => {
        const { 'content-type': type = '', 'content-length': length = '' } = res.headers
        resolve({ status: res.statusCode ?? 0, type, length, body })
      })
    })
    req.on('error', reject).end()
  })

/** Lists in a fixed order, because Mesos-DNS shuffles them. */
const inOrder = (json: unknown): unknown =>
  Array.isArray(json) ? json.map(one => JSON.stringify(one)).sort() : json

t.test('every reply of the transcript is the reply here', async t => {
  const at = await serve()
  let asked = 0
  const blocks = file('transcript.md').matchAll(
    /```\n\$ curl -s -i (.*?)http:\/\/[^/]+(\/\S*)\n([^]*?)\n```/g,
  )
  for (const [, options = '', path = '', said = ''] of blocks) {
    asked++
    const method = options.startsWith('-I') ? 'HEAD' : options.startsWith('-X') ? 'POST' : 'GET'
    const [head = '', body = ''] = said.split(/\n\n([^]*)/)
    const got = await fetched(at, path, method)
    const about = `${method} ${path}`
    t.equal(got.status, Number(/HTTP\/1.1 (\d+)/.exec(head)?.[1]), about)
    t.equal(got.type, /Content-Type: (.*)/.exec(head)?.[1], about)
    // its path was cut from the recording
    if (path !== '/v1/config') t.equal(got.length, /Content-Length: (.*)/.exec(head)?.[1], about)
    if (got.type === 'application/json')
      t.strictSame(inOrder(JSON.parse(got.body)), inOrder(JSON.parse(body)), about)
    else if (method !== 'HEAD') t.equal(got.body, body.trim(), about)
  }
  t.equal(asked, 18)
})

t.test('the whole zone and its tasks are those the real server showed', async t => {
  const at = await serve()
  for (const what of ['axfr', 'enumerate']) {
    const lines = (text: string): string[] =>
      text
        .split('\n')
        .map(line => line.trim().replace(/,$/, ''))
        .sort()
    const want = JSON.stringify(JSON.parse(file(`mesos-dns-${what}.json`)), null, 1).replace(
      /"Serial": \d+/,
      '"Serial": 1795225477',
    )
    t.strictSame(lines((await fetched(at, `/v1/${what}`)).body), lines(want), what)
  }
})

t.test('enumerationOn false hides the whole zone', async t => {
  const at = await serve({ enumerationOn: false })
  t.equal((await fetched(at, '/v1/axfr')).status, 404)
  t.equal((await fetched(at, '/v1/enumerate')).status, 404)
  t.equal((await fetched(at, '/v1/version')).status, 200)
})

t.test('a whole zone is rendered once a version', async t => {
  let version = 1
  const at = await serve({}, () => version)
  const first = await fetched(at, '/v1/axfr')
  t.equal((await fetched(at, '/v1/axfr?x=1')).body, first.body)
  version = 2
  t.equal((await fetched(at, '/v1/axfr/')).status, 200)
})

t.test('an odd path is not found and never an error', async t => {
  const at = await serve()
  for (const path of [
    '/',
    '/v1',
    '/v1/hosts',
    '/v1/hosts/',
    '/v1/hosts/a/b',
    '/v1/hosts/%zz',
    '/v2/version',
    '/v1/hosts/a/ports/b',
    `/v1/hosts/${'a'.repeat(3000)}`,
    '/v1/constructor',
    '/v1/toString/x',
  ]) {
    t.equal((await fetched(at, path)).status, 404, path.slice(0, 40))
  }
  t.equal((await fetched(at, '/v1/hosts/%2A.redis.marathon.mesos')).status, 200)
  t.match((await fetched(at, '/v1/hosts/__proto__')).body, /"host": ""/)
})

t.test('what is no HTTP is refused and the server lives on', async t => {
  const at = await serve()
  const said = await new Promise<string>(resolve => {
    const socket = connect(at.port, at.address, () => socket.write('\x00\x01\x02 nonsense\r\n\r\n'))
    let text = ''
    socket.on('data', part => (text += String(part))).on('close', () => resolve(text))
  })
  t.match(said, /^HTTP\/1\.1 400/)
  t.equal((await fetched(at, '/v1/version')).status, 200)
})

/** A real unbound as external upstream: clients get its answers, type by type, and its failures are handled. */
import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, ownAddress } from '../fixture/address.ts'
import { ask, exchange, query, type At } from '../fixture/client.ts'
import { daemon } from '../fixture/daemon.ts'
import { have } from '../fixture/dig.ts'
import { linesSansTtl } from '../fixture/rr.ts'

const ZONE = `
example.org. 60 IN SOA ns.example.org. root.example.org. 1 60 60 600 30
www.example.org. 60 IN A 192.0.2.1
www.example.org. 60 IN A 192.0.2.2
www.example.org. 60 IN AAAA 2001:db8::1
alias.example.org. 60 IN CNAME www.example.org.
_http._tcp.example.org. 60 IN SRV 0 1 31000 www.example.org.
mx.example.org. 60 IN MX 10 mail.example.org.
txt.example.org. 60 IN TXT "one" "two words"
caa.example.org. 60 IN CAA 0 issue "ca.example.org"
https.example.org. 60 IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1
svcb.example.org. 60 IN SVCB 1 www.example.org. port=8443
naptr.example.org. 60 IN NAPTR 100 10 "u" "sip+E2U" "!^.*$!sip:a@example.org!" .
sshfp.example.org. 60 IN SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
tlsa.example.org. 60 IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
ds.example.org. 60 IN DS 1 8 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
dname.example.org. 60 IN DNAME other.example.org.
loc.example.org. 60 IN LOC 51 30 12.748 N 0 7 39.611 W 0.00m 0.00m 0.00m 0.00m
hinfo.example.org. 60 IN HINFO "a" "b"
rp.example.org. 60 IN RP root.example.org. txt.example.org.
afsdb.example.org. 60 IN AFSDB 1 www.example.org.
${Array.from({ length: 119 }, (_, i) => `many.example.org. 60 IN A 192.0.2.${i + 1}`).join('\n')}
`
const TYPES = [
  'A',
  'NS',
  'CNAME',
  'SOA',
  'PTR',
  'HINFO',
  'MX',
  'TXT',
  'RP',
  'AFSDB',
  'AAAA',
  'LOC',
  'SRV',
  'NAPTR',
  'DNAME',
  'DS',
  'SSHFP',
  'TLSA',
  'SVCB',
  'HTTPS',
  'CAA',
  'TYPE65280',
]

t.test('what unbound says is what clients get', async t => {
  if (!have(t, 'unbound')) return
  const dir = mkdtempSync(join(tmpdir(), 'spartan-test-'))
  const address = ownAddress()
  const at: At = { address, port: await freePort([address]) }
  const records = ZONE.trim().split('\n')
  const config = join(dir, 'unbound.conf')
  writeFileSync(
    config,
    `server:
  interface: ${at.address}@${at.port}
  username: ""
  chroot: ""
  directory: "${dir}"
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  module-config: iterator
  access-control: 127.0.0.0/8 allow
  local-zone: "example.org." static
${records.map(one => `  local-data: '${one}'`).join('\n')}
remote-control:
  control-enable: no
`,
  )
  const unbound = spawn('unbound', ['-d', '-c', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  let words = ''
  unbound.stderr.setEncoding('utf8').on('data', (text: string) => (words += text))
  const ended = once(unbound, 'exit')
  t.teardown(async () => {
    unbound.kill()
    await ended
    rmSync(dir, { recursive: true, force: true })
  })
  let up = false
  for (let n = 0; n < 100 && !up; n++)
    up = (await exchange(at, query('www.example.org'), { timeout: 200 })) !== undefined
  if (!up) return t.fail(`unbound does not answer: ${words}`)

  const d = await daemon(t, { upstreams: [`${at.address}:${at.port}`] })
  const names = [...new Set(records.map(one => one.split('. ')[0]!))].filter(
    name => name !== 'many.example.org',
  )
  for (const name of [...names, 'nothing.example.org', 'a.dname.example.org']) {
    for (const type of TYPES) {
      // The parent zone answers a DS query at the apex, and unbound would ask it.
      if (name === 'example.org' && type === 'DS') continue
      const [direct, through] = await Promise.all([
        ask(at, name, type, { edns: {} }),
        ask(d.at, name, type, { edns: {} }),
      ])
      t.equal(through.status, direct.status, `${name} ${type}: ${direct.status}`)
      const said = linesSansTtl(direct.answers)
      // Unbound does not follow an alias in its local data, so the forwarder asks for the target (RFC 1034 section
      // 4.3.1).
      const target = type === 'CNAME' ? undefined : said.at(-1)?.split(' IN CNAME ')[1]
      const rest = target ? linesSansTtl((await ask(at, target, type, { edns: {} })).answers) : []
      t.same(
        linesSansTtl(through.answers),
        [...said, ...rest],
        `${name} ${type}: ${direct.answers.length} records`,
      )
    }
  }
  const many = await ask(d.at, 'many.example.org', 'A', { tcp: true })
  t.equal(many.answers.length, 119, 'fetched over TCP')
  t.ok((await ask(d.at, 'many.example.org')).tc)
  return undefined
})

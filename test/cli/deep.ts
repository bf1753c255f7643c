/** `spartan check --deep` asks real sockets and reports which answered. */
import { createServer } from 'node:net'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { spartan } from '../fixture/cli.ts'
import { ownAddress } from '../fixture/address.ts'
import { dnstapReader } from '../fixture/dnstap-reader.ts'
import { A, NS } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'

const check = (file: string, ...args: string[]) => spartan('check', '--config', file, ...args)

t.test('who answers, who is silent, who refuses', async t => {
  const resolver = await upstream(t, [NS('. 60 a.root-servers.net.')])
  const master = await upstream(t, [A('leader.mesos. 60 127.0.0.1')])
  const seed = createServer().listen(0, ownAddress())
  t.teardown(() => seed.close())
  await once(seed, 'listening')
  const dir = mkdtempSync(join(tmpdir(), 'spartan-test-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const tap = join(dir, 'tap.sock')
  await dnstapReader(t, tap)
  const seedAt = seed.address() as { address: string; port: number }
  const written = (at: { address: string; port: number }): string => `'${at.address}:${at.port}'`
  const file = join(t.testdir(), 'spartan.yaml')
  const config = (silent: string): string =>
    [
      `listen: { addresses: [${ownAddress()}], port: 5300 }`,
      `admin: { listen: '', socket: '' }`,
      `masters: { addresses: [${written(master)}] }`,
      `upstreams: [${written(resolver)}, 'tcp://${resolver.name}'${silent}]`,
      `gossip: { insecure: true, seeds: [${written(seedAt)}] }`,
      `dnstap: { socket: ${tap} }`,
    ].join('\n')
  writeFileSync(file, config(''))
  const good = await check(file, '--deep', '--json')
  t.match(good, { exit: 0, err: '' }, good.out)
  const { asked } = JSON.parse(good.out) as {
    asked: { key: string; ok: boolean; detail: string }[]
  }
  t.strictSame(
    asked.map(({ key, ok }) => [key, ok]),
    [
      ['masters.addresses', true],
      ['upstreams', true],
      ['upstreams', true],
      ['gossip.seeds', true],
      ['dnstap.socket', true],
    ],
  )
  for (const { detail } of asked) t.match(detail, /^answered in \d+ ms$/)
  t.equal(good.exit, 0)
  t.notOk('asked' in (JSON.parse((await check(file, '--json')).out) as object), 'nobody unasked')

  // Nothing listens there: the kernel refuses.
  writeFileSync(file, config(`, '${ownAddress()}:9'`))
  const bad = await check(file, '--deep')
  t.equal(bad.exit, 1)
  t.match(bad.out, /^gossip\.seeds +\S+ +answered in \d+ ms$/m)
  t.match(bad.err, /: upstreams: 127\.13\.\d+\.\d+:9: \S/)
  t.match(bad.err, /: warning: gossip\.insecure: anybody/)

  resolver.set([{ rcode: 'REFUSED' }])
  writeFileSync(file, config(''))
  const refused = await check(file, '--deep')
  t.equal(refused.exit, 1)
  t.match(refused.err, /: upstreams: \S+: answers REFUSED/)
})

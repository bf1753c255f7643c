import t from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nameservers, readConfig, settingsFromJson } from '../../src/mesos-dns/config.ts'
import { shownSettings } from '../../src/mesos-dns/settings.ts'

const read = (json: unknown): ReturnType<typeof settingsFromJson> =>
  settingsFromJson(json, 'config.json', ['192.0.2.53'])

const MASTERS = { masters: ['203.0.113.1:5050'] }

t.test('a file of DC/OS is taken as it is', async t => {
  const { settings, warnings } = read({
    zk: 'zk://zk-1.zk:2181,zk-2.zk:2181,zk-3.zk:2181/mesos',
    refreshSeconds: 30,
    ttl: 60,
    domain: 'mesos',
    port: 61053,
    resolvers: ['192.0.2.1'],
    timeout: 5,
    listener: '0.0.0.0',
    email: 'root.mesos-dns.mesos',
    IPSources: ['host', 'netinfo'],
    SetTruncateBit: true,
    httpon: true,
    ENUMERATIONON: false,
  })
  t.match(settings, {
    refreshMs: 30_000,
    listen: { address: '0.0.0.0', port: 61053 },
    resolvers: [{ address: '192.0.2.1', port: 53 }],
    ipSources: ['host', 'netinfo'],
    enumerationOn: false,
    compat: false,
    soa: { mname: 'ns1.mesos', rname: 'root.ns1.mesos', minimum: 60 },
  })
  t.match(warnings, [/anyone who can reach this server/])
})

t.test('defaults are the original ones', async t => {
  const { settings } = read({ ...MASTERS, externalOn: false })
  t.match(settings, {
    refreshMs: 60_000,
    ttl: 60,
    domain: 'mesos',
    listen: { address: '0.0.0.0', port: 53 },
    httpListen: { address: '0.0.0.0', port: 8123 },
    resolvers: [],
    stateTimeoutMs: 300_000,
    zkDetectionMs: 30_000,
    ipSources: ['netinfo', 'mesos', 'host'],
    srvWeight: 1,
    setTruncateBit: true,
  })
  t.equal(read(MASTERS).settings.resolvers[0]?.address, '8.8.8.8')
  t.equal(
    read({ ...MASTERS, resolvers: [] }).settings.resolvers[0]?.address,
    '192.0.2.53',
    'those of the host',
  )
})

t.test('the server is named within its own domain', async t => {
  const { soa } = read({
    ...MASTERS,
    domain: 'Cluster.Example',
    SOARname: 'root@example.org.',
  }).settings
  t.match(soa, { mname: 'ns1.cluster.example', rname: 'root.example.org' })
})

t.test('a wrong value is refused with its key and the reason', async t => {
  const cases: readonly (readonly [json: object, key: string])[] = [
    [{}, 'masters'],
    [{ masters: 'leader.mesos:5050' }, 'masters'],
    [{ masters: ['203.0.113.1'] }, 'masters'],
    [{ masters: ['203.0.113.1:5050', '203.0.113.1:5050'] }, 'masters'],
    [{ zk: 'http://zk-1.zk' }, 'zk'],
    [{ ...MASTERS, port: 0 }, 'port'],
    [{ ...MASTERS, port: '53' }, 'port'],
    [{ ...MASTERS, ttl: -1 }, 'ttl'],
    [{ ...MASTERS, refreshSeconds: 0 }, 'refreshSeconds'],
    [{ ...MASTERS, refreshSeconds: 1.5 }, 'refreshSeconds'],
    [{ ...MASTERS, stateTimeoutSeconds: 0 }, 'stateTimeoutSeconds'],
    [{ ...MASTERS, domain: 'a b' }, 'domain'],
    [{ ...MASTERS, listener: 'eth0' }, 'listener'],
    [{ ...MASTERS, resolvers: ['dns.example.org'] }, 'resolvers'],
    [{ ...MASTERS, resolvers: ['192.0.2.1', '192.0.2.1:53'] }, 'resolvers'],
    [{ ...MASTERS, zoneResolvers: { weave: [] } }, 'zoneResolvers'],
    [{ ...MASTERS, zoneResolvers: { 'x.mesos': ['192.0.2.1'] } }, 'zoneResolvers'],
    [{ ...MASTERS, zoneResolvers: ['weave'] }, 'zoneResolvers'],
    [{ ...MASTERS, IPSources: [] }, 'IPSources'],
    [{ ...MASTERS, IPSources: ['rkt'] }, 'IPSources'],
    [{ ...MASTERS, IPSources: ['host', 'host'] }, 'IPSources'],
    [{ ...MASTERS, dnsOn: false, httpOn: false }, 'dnsOn'],
    [{ ...MASTERS, dnsOn: 'yes' }, 'dnsOn'],
    [{ ...MASTERS, certFile: 'a.pem' }, 'keyFile'],
    [{ ...MASTERS, keyFile: 'a.pem' }, 'certFile'],
    [{ ...MASTERS, mesosAuthentication: 'kerberos' }, 'mesosAuthentication'],
    [{ ...MASTERS, mesosAuthentication: 'basic' }, 'mesosCredentials'],
    [{ ...MASTERS, mesosAuthentication: 'iam' }, 'iamConfigFile'],
    [{ ...MASTERS, compat: 'bind' }, 'compat'],
    [{ ...MASTERS, allow: ['all'] }, 'allow'],
    [{ ...MASTERS, SRVRecordDefaultWeight: 70_000 }, 'SRVRecordDefaultWeight'],
  ]
  for (const [json, key] of cases) {
    t.throws(
      () => read(json),
      { code: 'ECONFIG', key, message: new RegExp(`^${key} `) },
      JSON.stringify(json),
    )
  }
  for (const json of [[], null, 7, 'x']) t.throws(() => read(json), { code: 'ECONFIG' })
})

t.test('what has no effect is named', async t => {
  const quiet = { ...MASTERS, externalOn: false }
  const told = (json: object): readonly string[] => read({ ...quiet, ...json }).warnings
  t.strictSame(told({}), [])
  t.match(told({ refreshSecond: 3 }), [
    /^refreshSecond is no key .* did you mean refreshSeconds\?$/,
  ])
  t.match(told({ setTruncateBit: false }), [/^setTruncateBit/])
  t.strictSame(told({ setTruncateBit: false, recurseOn: false, compat: 'mesos-dns' }), [])
  t.match(told({ TTL: 5, ttl: 6 }), [/^ttl is given more than once/])
  t.match(told({ mesosCredentials: { principal: 'p', secret: 's' } }), [/not used/])
  t.equal(read({ ...quiet, ttl: null }).settings.ttl, 60, 'null is as if it were not there')
})

t.test('credentials are read, and never shown', async t => {
  const { settings } = read({
    ...MASTERS,
    zk: 'zk://user:hidden1@zk-1.zk:2181/mesos',
    mesosAuthentication: 'basic',
    mesosCredentials: { Principal: 'p', SECRET: 'hidden2' },
  })
  t.match(settings, { principal: 'p', secret: 'hidden2' })
  const json = JSON.stringify(shownSettings(settings, 1))
  t.notMatch(json, /hidden/)
  t.match(JSON.parse(json), {
    Zk: 'zk://zk-1.zk:2181/mesos',
    MesosCredentials: { Principal: '', Secret: '' },
    SOAMname: 'ns1.mesos.',
  })
  t.throws(
    () =>
      read({ ...MASTERS, mesosAuthentication: 'basic', mesosCredentials: { secret: ['hidden'] } }),
    { message: /^(?!.*hidden)/ },
  )
})

t.test('a file that cannot be read or parsed says where', async t => {
  const dir = t.testdir({
    'bad.json': '{\n  "ttl": 60,\n  oops\n}',
    'wrong.json': '{"masters": ["x"]}',
  })
  t.throws(() => readConfig(join(dir, 'none.json')), {
    code: 'ECONFIG',
    message: /none\.json cannot be read/,
  })
  t.throws(() => readConfig(join(dir, 'bad.json')), {
    code: 'ECONFIG',
    message: /bad\.json:3:\d+: /,
  })
  t.throws(() => readConfig(join(dir, 'wrong.json')), {
    code: 'ECONFIG',
    key: 'masters',
    message: /wrong\.json: masters /,
  })
  writeFileSync(join(dir, 'good.json'), JSON.stringify(MASTERS))
  t.equal(readConfig(join(dir, 'good.json')).settings.file, join(dir, 'good.json'))
})

t.test('the nameservers of a host are those of its resolv.conf that it is not itself', async t => {
  const text =
    '# a comment\nsearch mesos\nnameserver 198.51.100.1\nnameserver 192.0.2.53\nnameserver\t2001:db8::53\nnameserver 192.0.2.53\nnameserver x\n'
  t.strictSame(nameservers(text, new Set(['198.51.100.1'])), ['192.0.2.53', '2001:db8::53'])
})

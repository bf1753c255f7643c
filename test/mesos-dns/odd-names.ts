import t, { type Test } from 'tap'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { silent } from '../../src/base/log.ts'
import type { Endpoint } from '../../src/boundary/messages.ts'
import { isOwnerName } from '../../src/boundary/zone.ts'
import { encodePiece, linesOf, ownerOf, textOf } from '../../src/control/sharing/zone-piece.ts'
import { Http } from '../../src/http/client.ts'
import { settingsFromJson } from '../../src/mesos-dns/config.ts'
import { MesosDnsServer } from '../../src/mesos-dns/server.ts'
import { axfrView, hostView, serviceView, type AxfrView } from '../../src/mesos-dns/views.ts'
import { parseState } from '../../src/mesos/api/state.ts'
import { staticMasters } from '../../src/mesos/master-list.ts'
import { cutLabel, givenName, shownName } from '../../src/mesos/mesos-dns-names/given-name.ts'
import type { RecordOptions } from '../../src/mesos/mesos-dns-names/record.ts'
import { recordsFromState, type ZoneRecords } from '../../src/mesos/mesos-dns-names/records.ts'
import { rrsetsOf } from '../../src/mesos/mesos-dns-names/zone.ts'
import { nameText, nameWire } from '../../src/wire/name.ts'
import { ownAddress } from '../fixture/address.ts'
import { ask } from '../fixture/client.ts'

// odd-state.json has 33 kinds of odd names, each in the label `odd` of its task. odd-axfr.json is the zone that
// Mesos-DNS (commit e888ef4) made of it. It escapes what it hears in the way of zone files, but not the names that
// it makes, so that it never answers to a space or to a letter beyond ASCII, although it lists such names.

const text = (name: string): string =>
  readFileSync(new URL(`../fixture-data/mesos-dns/${name}`, import.meta.url), 'utf8')
const STATE = text('odd-state.json')
const ORIGINAL = JSON.parse(text('odd-axfr.json')) as AxfrView['Records']

const OPTIONS: RecordOptions = {
  domain: 'mesos',
  ipSources: ['netinfo', 'mesos', 'host'],
  enforceRfc952: false,
  compat: true,
  srvWeight: 1,
  soaMname: 'ns1.mesos',
  listenerAddresses: ['127.0.77.1'],
}
const ABOUT = { ttl: 60, serial: 1, refreshSeconds: 30, mname: 'm', rname: 'r', domain: 'mesos' }

const zone = (compat: boolean): ZoneRecords =>
  recordsFromState(parseState(JSON.parse(STATE)).state, ['127.0.1.1:5050'], { ...OPTIONS, compat })

/** 'name TYPE data' of every record of a list, as the HTTP API shows them. */
const lines = ({ As, AAAAs, SRVs }: AxfrView['Records']): string[] =>
  Object.entries({ A: As, AAAA: AAAAs, SRV: SRVs })
    .flatMap(([type, names]) =>
      Object.entries(names).flatMap(([name, data]) => data.map(one => `${name} ${type} ${one}`)),
    )
    .sort()
const listed = (compat: boolean): string[] => lines(axfrView(zone(compat), ABOUT).Records)

/** The lines of `a` that are not in `b`, long runs of one letter written short. */
const beyond = (a: readonly string[], b: readonly string[]): string[] => {
  const known = new Set(b)
  return a.filter(line => !known.has(line)).map(line => line.replace(/(.)\1{9,}/g, '$1…'))
}

/** Whether a client could ask for the name of a line: it can be on the wire, and is in lower case. */
const canBeAsked = (line: string): boolean => {
  const name = line.slice(0, line.search(/\. (A|SRV) /))
  const lengths = name.split('.').map(label => Buffer.byteLength(label))
  return (
    !/[A-Z]/.test(name) &&
    Buffer.byteLength(name) <= 253 &&
    lengths.every(length => length > 0 && length < 64)
  )
}

t.test('compat: every name of the original that can be asked for, and no other', async t => {
  const ours = listed(true)
  const theirs = lines(ORIGINAL).filter(canBeAsked)
  t.ok(theirs.length > 400)
  t.strictSame(beyond(theirs, ours), [
    // an owner '*' would answer for every name of its framework
    '*.marathon.mesos. A 9.0.2.14',
    '*.marathon.slave.mesos. A 10.0.0.11',
    // a given name with an empty label is left out as a whole; these lead to names that nobody can ask for
    '_.dotted._tcp.marathon.mesos. SRV .dotted-q8qrg-s0.marathon.mesos.:8080',
    '_.dotted._tcp.marathon.slave.mesos. SRV .dotted-q8qrg-s0.marathon.slave.mesos.:31000',
    '_.dotted._udp.marathon.slave.mesos. SRV .dotted-q8qrg-s0.marathon.slave.mesos.:31000',
    '_http._.dotted._tcp.marathon.mesos. SRV .dotted-q8qrg-s0.marathon.mesos.:8080',
    // the original says nothing when it is asked, because this target does not fit into a message
    '_http._t…._tcp.marathon.mesos. SRV t…-dq7gm-s0.marathon.mesos.:8080',
    '_t…._tcp.marathon.mesos. SRV t…-dq7gm-s0.marathon.mesos.:8080',
    '_t…._tcp.marathon.slave.mesos. SRV t…-dq7gm-s0.marathon.slave.mesos.:31000',
    '_t…._udp.marathon.slave.mesos. SRV t…-dq7gm-s0.marathon.slave.mesos.:31000',
    // and here the empty label would not be seen, because the suffix follows it
    'ended.-czkwn-s0.marathon.mesos. A 9.0.2.8',
    'ended.-czkwn-s0.marathon.slave.mesos. A 10.0.0.11',
  ])
  const cut = [
    '_http._t…._tcp.marathon.mesos. SRV t…-dq7gm-s0.marathon.mesos.:8080',
    '_t…._tcp.marathon.mesos. SRV t…-dq7gm-s0.marathon.mesos.:8080',
    '_t…._tcp.marathon.slave.mesos. SRV t…-dq7gm-s0.marathon.slave.mesos.:31000',
    '_t…._udp.marathon.slave.mesos. SRV t…-dq7gm-s0.marathon.slave.mesos.:31000',
    'l…-461mf-s0.marathon.mesos. A 9.0.2.16',
    'l…-461mf-s0.marathon.slave.mesos. A 10.0.0.11',
    'm…-x4wtb-s0.marathon.mesos. A 9.0.2.17',
    'm…-x4wtb-s0.marathon.slave.mesos. A 10.0.0.11',
    'n…-nn-ux4ta-s0.marathon.mesos. A 9.0.2.18',
    'n…-nn-ux4ta-s0.marathon.slave.mesos. A 10.0.0.11',
    't…-dq7gm-s0.marathon.mesos. A 9.0.2.19',
    't…-dq7gm-s0.marathon.slave.mesos. A 10.0.0.11',
  ]
  t.strictSame(beyond(ours, theirs), cut, 'only canonical names that are cut to fit')
})

t.test('by default every name of compat but the useless ones, and more', async t => {
  t.strictSame(
    beyond(listed(true), listed(false)),
    [
      // a name of which nothing is left has a canonical name in the original that says nothing
      ...['-968ri', '-ejkiq', '-psms6', '-r5ref'].flatMap(hash => [
        `${hash}-s0.marathon.mesos. A 9.0.2.${{ '-968ri': 26, '-ejkiq': 14, '-psms6': 11, '-r5ref': 25 }[hash]}`,
        `${hash}-s0.marathon.slave.mesos. A 10.0.0.11`,
      ]),
      ...['-968ri', '-ejkiq', '-psms6', '-r5ref'].map(
        hash => `_._tcp.marathon.mesos. SRV ${hash}-s0.marathon.mesos.:8080`,
      ),
      ...['tcp', 'udp'].flatMap(proto =>
        ['-968ri', '-ejkiq', '-psms6', '-r5ref'].map(
          hash => `_._${proto}.marathon.slave.mesos. SRV ${hash}-s0.marathon.slave.mesos.:31000`,
        ),
      ),
      ...['-968ri', '-ejkiq', '-psms6', '-r5ref'].map(
        hash => `_http._._tcp.marathon.mesos. SRV ${hash}-s0.marathon.mesos.:8080`,
      ),
      // a port for both protocols
      '_protos._udptcp.marathon.mesos. SRV protos-pozr4-s0.marathon.mesos.:7',
      '_x._protos._udptcp.marathon.mesos. SRV protos-pozr4-s0.marathon.mesos.:7',
    ].sort(),
  )
  t.strictSame(beyond(listed(false), listed(true)), [
    '_http._web.shop._tcp.marathon.mesos. SRV web.shop-oe9ey-s0.marathon.mesos.:8080',
    '_protos._tcp.marathon.mesos. SRV protos-pozr4-s0.marathon.mesos.:7',
    '_protos._udp.marathon.mesos. SRV protos-pozr4-s0.marathon.mesos.:7',
    '_web.shop._tcp.marathon.mesos. SRV web.shop-oe9ey-s0.marathon.mesos.:8080',
    '_web.shop._tcp.marathon.slave.mesos. SRV web.shop-oe9ey-s0.marathon.slave.mesos.:31000',
    '_web.shop._udp.marathon.slave.mesos. SRV web.shop-oe9ey-s0.marathon.slave.mesos.:31000',
    '_x._protos._tcp.marathon.mesos. SRV protos-pozr4-s0.marathon.mesos.:7',
    '_x._protos._udp.marathon.mesos. SRV protos-pozr4-s0.marathon.mesos.:7',
    'web.shop-oe9ey-s0.marathon.mesos. A 9.0.2.4',
    'web.shop-oe9ey-s0.marathon.slave.mesos. A 10.0.0.11',
    'web.shop.marathon.mesos. A 9.0.2.4',
    'web.shop.marathon.slave.mesos. A 10.0.0.11',
  ])
})

/** The server on loopback, following a master that serves the recorded state. */
const serve = async (t: Test, compat: boolean): Promise<Endpoint> => {
  const address = ownAddress()
  const master = createServer((req, res) =>
    req.method === 'GET' ? res.end(STATE) : res.writeHead(404).end(),
  )
  await new Promise<void>(resolve => master.listen(0, address, resolve))
  const at = `${address}:${(master.address() as AddressInfo).port}`
  const json = { listener: address, httpOn: false, externalOn: false, masters: [at] }
  const { settings } = settingsFromJson(compat ? { ...json, compat: 'mesos-dns' } : json, 'x', [])
  const server = new MesosDnsServer(
    { ...settings, listen: { address, port: 0 } },
    {
      log: silent,
      version: '0.0.0',
      http: new Http(),
      masters: staticMasters([at]),
      resolve: async () => [],
      random: Math.random,
    },
  )
  t.teardown(async () => {
    await server.close()
    master.closeAllConnections()
    master.close()
  })
  server.start()
  const died = await Promise.race([server.ready, server.ended])
  if (died !== undefined) throw new Error(died)
  return server.endpoints.dns[0]!
}

/** Given names as a client asks for them, below marathon.mesos, and the last octet of their address. */
const ASKED: readonly (readonly [asked: string, last: number, target?: string])[] = [
  ['--lead', 1],
  ['lead', 1],
  ['trail--', 2],
  ['_under_score_', 3],
  ['under-score', 3],
  ['web-shop', 4],
  ['a.b.c', 5],
  ['a-b-c', 5],
  ['gap--hole', 6],
  ['dotted', 7],
  ['ended', 8],
  ['my\\032app', 9],
  ['My\\032App', 9],
  ['myapp', 9],
  ['bl\\195\\165b\\195\\166r', 10],
  ['\\230\\149\\176\\230\\141\\174', 11],
  ['group/app', 12],
  ['app:v2', 13],
  ['api', 15],
  ['l'.repeat(63), 16],
  ['m'.repeat(63), 17],
  ['t'.repeat(60), 19],
  ['back\\\\slash', 20],
  ['at@(home);"now"', 22],
  ["a+b~c%d!e$f&g'h=i?j,k", 23],
  ['tab\\009bed', 24],
  ['---', 25],
  ['leader', 27],
  ['10.0.0.1', 28],
  ['given-name', 29],
  ['plain-task-1', 30],
]

for (const compat of [true, false]) {
  t.test(`the server answers to odd names, compat ${compat}`, async t => {
    const at = await serve(t, compat)
    for (const [name, last] of ASKED) {
      const { status, answers } = await ask(at, `${name}.marathon.mesos`)
      t.strictSame([status, ...answers.map(of => of.data)], ['NOERROR', `9.0.2.${last}`], name)
      t.equal(answers[0]?.name.toLowerCase(), `${name}.marathon.mesos`.toLowerCase())
      const service = await ask(at, `_http._${name}._tcp.marathon.mesos`, 'SRV')
      if (last >= 29 || name.length >= 63) continue
      t.equal(service.answers.length, 1, `${name} has its service`)
      const target = service.answers[0]!.data.split(' ')[3]!
      t.match(
        (await ask(at, target)).answers,
        [{ data: `9.0.2.${last}` }],
        `${target} is asked for`,
      )
      t.match(service.additional, [{ name: target, data: `9.0.2.${last}` }], 'and comes along')
    }
    for (const name of ['gap\\.\\.hole', 'x.marathon', 'x\\.y.marathon'])
      t.equal((await ask(at, `${name}.marathon.mesos`)).status, 'NXDOMAIN', name)
    t.strictSame((await ask(at, '*.marathon.mesos')).answers, [], 'no wildcard')
    t.equal((await ask(at, 'web.shop.marathon.mesos')).status, compat ? 'NXDOMAIN' : 'NOERROR')
  })
}

t.test('the HTTP API takes and shows names as schedulers write them', async t => {
  const records = zone(true)
  t.strictSame(hostView(records, 'My app.marathon.mesos'), [
    { host: 'my app.marathon.mesos.', ip: '9.0.2.9' },
  ])
  t.strictSame(hostView(records, 'blåbær.marathon.mesos.'), [
    { host: 'blåbær.marathon.mesos.', ip: '9.0.2.10' },
  ])
  t.strictSame(serviceView(records, '_http._my app._tcp.marathon.mesos'), [
    {
      service: '_http._my app._tcp.marathon.mesos',
      host: 'my app-557dm-s0.marathon.mesos.',
      ip: '9.0.2.9',
      port: '8080',
    },
  ])
})

t.test('odd names go through a piece of the gossip', async t => {
  const { names } = zone(false)
  const piece = encodePiece(
    [...names].map(([name, of]) => [name.slice(0, -'.mesos'.length), rrsetsOf(of, { ttl: 5 })]),
    'mesos',
  )
  const read = [...linesOf(textOf(piece.bytes)!)].map(([rel, line]) => ownerOf(rel, line, 'mesos'))
  t.strictSame(
    new Map(read.filter(owner => owner !== undefined)),
    new Map([...names].map(([name, of]) => [name, rrsetsOf(of, { ttl: 5 })])),
  )
})

t.test('a name in a piece of the gossip is written as we write it, or it is none', async t => {
  const good = [
    'web',
    'my\\032app',
    'a\\\\b',
    '_x._tcp.web',
    `${'\\200'.repeat(63)}.a`,
    '--a',
    '"(x)"',
  ]
  const bad = [
    '',
    'a..b',
    '.a',
    'A',
    'a b',
    'a\\',
    'a\\03',
    'å',
    '\\200'.repeat(64),
    'a\nb',
    'a\x7f',
  ]
  for (const name of good) {
    t.ok(isOwnerName(name), name)
    t.equal(nameText(nameWire(name)!), name)
  }
  for (const name of bad) t.notOk(isOwnerName(name), JSON.stringify(name))
  t.notOk(isOwnerName(Array.from({ length: 5 }, () => '\\200'.repeat(51)).join('.')))
  t.ok(isOwnerName(Array.from({ length: 4 }, () => '\\200'.repeat(62)).join('.')), 'octets count')
})

t.test('a given name as text, cut and shown', async t => {
  const table: readonly (readonly [string, string, string])[] = [
    ['web', 'web', 'web'],
    ['Web.Shop', 'web.shop', ''],
    ['my app', 'my\\032app', 'my\\032app'],
    ['Ünder', '\\195\\156nder', '\\195\\156nder'],
    ['a..b', '', ''],
    ['.a', '', ''],
    ['', '', ''],
    ['x'.repeat(64), '', ''],
    ['å'.repeat(32), '', ''],
    [['n'.repeat(63), 'n'.repeat(63), 'n'.repeat(63), 'n'.repeat(62)].join('.'), '', ''],
  ]
  for (const [given, lower, exact] of table) {
    t.equal(givenName(given, false), lower, given)
    t.equal(givenName(given, true), exact, given)
    if (exact !== '') t.equal(shownName(exact), given)
  }
  t.equal(cutLabel('a\\195\\165b', 2), 'a', 'no half of a character is left')
  t.equal(cutLabel('a\\195\\165b', 3), 'a\\195\\165')
  t.equal(cutLabel('a---b', 3), 'a')
})

/**
 * Rules that involve several keys: no address is bound twice, nothing is forwarded to spartan itself, a section has
 * the keys that it needs. The rules read the raw document and ignore what the schema refuses, so that one run reports
 * both kinds of error.
 *
 * This file is long, because it is a list: every rule is a few lines.
 */
import { familyOf, ipToNumber } from '../base/ip.ts'
import {
  isBelow,
  isLoopback,
  isWildcard,
  parseAddress,
  parseName,
  parseTarget,
  parseUpstream,
  showEndpoint,
  showUpstream,
  type Upstream,
} from './address.ts'
import { items, keysAt, look, portAt, type Item, type Raw } from './document.ts'
import type { Path } from './source.ts'
import { parseTime } from './units.ts'

/** One broken rule and the value concerned. */
export type Breach = {
  readonly path: Path
  readonly message: string
  readonly what?: 'key' | 'value'
}

/**
 * Limit of upstreams: the counters (boundary/counters.ts) have room for these, and for masters found at run
 * time.
 */
export const MAX_UPSTREAMS = 56

/** Limit of addresses that are compared with each other; the schema refuses longer lists. */
const MAX_LISTEN = 64

/** Default ports, used where an address or the file has none. */
export const PORTS = { dns: 53, masters: 61053, gossip: 7946, admin: 62080 } as const

/** Zones that spartan answers itself, never from upstreams. */
const OWN_ZONES = ['zk', 'spartan', 'localhost', 'thisdcos.directory', 'thisdcos.global']
/** Labels below thisdcos.directory that are filled with data of the cluster. */
const CLUSTER_LABELS = ['l4lb', 'mesos', 'dcos', 'dclb', 'thisnode']

type At = { readonly path: Path; readonly address: string; readonly port: number }

const withPort = (list: Item<{ address: string; port?: number }>[], port: number): At[] =>
  list.map(({ path, value }) => ({ path, address: value.address, port: value.port ?? port }))

/** Whether a socket bound to `at` receives packets for `address`. Our IPv6 sockets do not receive IPv4. */
const covers = (at: string, address: string): boolean =>
  at === address || (isWildcard(at) && familyOf(at) === familyOf(address))

/** Whether binding one address prevents binding the other. */
const clash = (a: At, b: At): boolean =>
  a.port === b.port &&
  a.port !== 0 &&
  (covers(a.address, b.address) || covers(b.address, a.address))

/** All broken rules in the file, in the order of the rules. `own` are the host's addresses. */
export const breaches = (raw: Raw, own: readonly string[] = []): Breach[] => {
  const found: Breach[] = []
  const refuse = (path: Path, message: string, what: 'key' | 'value' = 'value'): void =>
    void found.push({ path, message, what })
  const named = items(raw, ['listen', 'addresses'], parseAddress).slice(0, MAX_LISTEN)
  const listen = withPort(named, portAt(raw, ['listen', 'port'], PORTS.dns))
  const upstreams = upstreamLists(raw)
  const masters = withPort(
    items(raw, ['masters', 'addresses'], parseTarget),
    portAt(raw, ['masters', 'port'], PORTS.masters),
  )

  listening(raw, listen, refuse)
  notOurselves(listen, own, [...masters, ...upstreams.flat().flatMap(direct)], refuse)
  for (const list of upstreams)
    onlyOnce(
      list.map(({ path, value }) => ({ path, name: showUpstream(value) })),
      refuse,
    )
  onlyOnce(
    masters.map(at => ({ path: at.path, name: showEndpoint(at) })),
    refuse,
  )
  const distinct = new Set([
    ...upstreams.flat().map(({ value }) => showUpstream(value)),
    ...masters.map(showEndpoint),
  ])
  if (distinct.size > MAX_UPSTREAMS) {
    refuse(
      ['upstreams'],
      `${distinct.size} different upstreams, masters and forward zones together; at most ${MAX_UPSTREAMS} can be kept apart`,
    )
  }
  if (look(raw, 'masters') !== undefined) masterSource(raw, refuse)
  forwardZones(raw, refuse)
  for (const label of keysAt(raw, 'zones')) {
    if (CLUSTER_LABELS.includes(label.toLowerCase())) {
      refuse(
        ['zones', label],
        `${label}.thisdcos.directory is filled from the cluster: choose another label`,
        'key',
      )
    }
  }
  if (look(raw, 'gossip') !== undefined) gossip(raw, refuse)
  credentials(raw, refuse)
  ranges(raw, refuse)
  inOrder(raw, ['cache', 'minTtl'], '0s', ['cache', 'maxTtl'], '1d', refuse)
  inOrder(raw, ['race', 'grace'], '20ms', ['race', 'deadline'], '1800ms', refuse)
  return found
}

type Refuse = (path: Path, message: string, what?: 'key' | 'value') => void

const upstreamLists = (raw: Raw): Item<Upstream>[][] => [
  items(raw, ['upstreams'], parseUpstream),
  ...keysAt(raw, 'forwardZones').map(zone => items(raw, ['forwardZones', zone], parseUpstream)),
]

/** The destination of an upstream's packets, if the file names its address. */
const direct = ({ path, value }: Item<Upstream>): At[] =>
  value.protocol === 'https' ? [] : [{ path, address: value.address, port: value.port }]

/** Rule: each address is bound once; a wildcard needs an explicit key. */
const listening = (raw: Raw, listen: readonly At[], refuse: Refuse): void => {
  const any = look(raw, 'listen', 'anyAddress') === true
  for (const [i, at] of listen.entries()) {
    if (isWildcard(at.address) && !any) {
      refuse(
        at.path,
        `${at.address} is every address of the host: name the addresses, or set listen.anyAddress: true`,
      )
    }
    const twin = listen.slice(0, i).find(other => clash(other, at))
    if (twin)
      refuse(at.path, `${showEndpoint(at)} is already taken by ${showEndpoint(twin)} in this list`)
  }
  const others = [single(raw, ['admin', 'listen'], '127.0.0.1', PORTS.admin)]
  if (look(raw, 'gossip') !== undefined)
    others.push(single(raw, ['gossip', 'bind'], '0.0.0.0', PORTS.gossip))
  const taken = [...listen]
  for (const at of others.flat()) {
    const twin = taken.find(other => clash(other, at))
    if (twin) refuse(at.path, `${showEndpoint(at)} is already taken by ${showEndpoint(twin)}`)
    taken.push(at)
  }
}

/** The address at `path`, or its default; [] if it is '' or not valid. */
const single = (raw: Raw, path: readonly string[], address: string, port: number): At[] => {
  const read = parseAddress(look(raw, ...path) ?? address)
  return 'value' in read ? withPort([{ path, value: read.value }], port) : []
}

/**
 * Rule: forwarding to ourselves is refused, because it is an endless loop (COPS-4616). Another port on our
 * address is allowed: it is another service.
 */
const notOurselves = (
  listen: readonly At[],
  own: readonly string[],
  targets: readonly At[],
  refuse: Refuse,
): void => {
  for (const to of targets) {
    const ours = isLoopback(to.address) || own.includes(to.address)
    const same = ({ address, port }: At): boolean =>
      port === to.port && (address === to.address || (ours && covers(address, to.address)))
    if (!listen.some(same)) continue
    const why = 'is our own address in listen.addresses: every query would come back to us'
    refuse(to.path, `${showEndpoint(to)} ${why}`)
  }
}

const onlyOnce = (list: readonly { path: Path; name: string }[], refuse: Refuse): void => {
  const seen = new Set<string>()
  for (const { path, name } of list) {
    if (seen.has(name)) refuse(path, `${name} is in this list twice`)
    seen.add(name)
  }
}

const SOURCES = {
  static: 'addresses',
  file: 'file',
  url: 'url',
  exhibitor: 'exhibitor',
  dns: 'name',
  zk: 'zk',
} as const

/** Rule: a source of masters has the key that it needs, and no key of another source. */
const masterSource = (raw: Raw, refuse: Refuse): void => {
  const source = look(raw, 'masters', 'source') ?? 'static'
  if (typeof source !== 'string' || !Object.hasOwn(SOURCES, source)) return
  const needed = SOURCES[source as keyof typeof SOURCES]
  for (const name of Object.values(SOURCES)) {
    const value = look(raw, 'masters', name)
    const empty = value === undefined || value === '' || (Array.isArray(value) && !value.length)
    if (name === needed && empty)
      refuse(['masters'], `source ${source} needs masters.${name}`, 'key')
    if (name !== needed && !empty)
      refuse(['masters', name], `has no effect with source ${source}`, 'key')
  }
}

/** Rule: one kind of credentials, a certificate only with its key, and keys of ZooKeeper only with source zk. */
const credentials = (raw: Raw, refuse: Refuse): void => {
  const given = (...path: string[]): boolean => {
    const value = look(raw, ...path)
    return value !== undefined && value !== ''
  }
  const ways = ['basic', 'token', 'iam'].filter(way => given('mesos', 'auth', way))
  if (ways.length > 1)
    refuse(['mesos', 'auth', ways[1]!], `is given beside ${ways[0]}: only one can be used`, 'key')
  for (const section of ['mesos', 'admin'])
    for (const [one, other] of [
      ['cert', 'key'],
      ['key', 'cert'],
    ] as const)
      if (given(section, 'tls', one) && !given(section, 'tls', other))
        refuse([section, 'tls', one], `needs ${section}.tls.${other} beside it`, 'key')
  if (look(raw, 'mesos', 'tls', 'insecure') === true && given('mesos', 'tls', 'ca'))
    refuse(['mesos', 'tls', 'insecure'], 'contradicts mesos.tls.ca: a CA is for verifying', 'key')
  const zk = look(raw, 'masters', 'source') === 'zk'
  if (look(raw, 'mesos', 'master') === 'zk' && !zk)
    refuse(['mesos', 'master'], 'is zk, which needs masters.source: zk', 'key')
  if (given('masters', 'zkDigest') && !zk)
    refuse(['masters', 'zkDigest'], 'has an effect with source zk only', 'key')
}

/** Rule: a forward zone must not be one that spartan answers itself, because it would have no effect. */
const forwardZones = (raw: Raw, refuse: Refuse): void => {
  const id = look(raw, 'clusterId')
  const own = [...OWN_ZONES]
  if (typeof id === 'string' && id) own.push(`${id.toLowerCase()}.dcos.directory`)
  if (look(raw, 'masters') !== undefined) own.push('mesos')
  for (const zone of keysAt(raw, 'forwardZones')) {
    const name = parseName(zone)
    const ours = 'value' in name && own.find(apex => isBelow(name.value, apex))
    if (ours)
      refuse(
        ['forwardZones', zone],
        `names at or below ${ours} are answered here and never forwarded`,
        'key',
      )
  }
}

/** Rule: gossip without encryption needs an explicit key. */
const gossip = (raw: Raw, refuse: Refuse): void => {
  const keyring = look(raw, 'gossip', 'keyring')
  if ((keyring === undefined || keyring === '') && look(raw, 'gossip', 'insecure') !== true) {
    refuse(
      ['gossip'],
      'needs gossip.keyring: create one with "spartan keys generate", or set gossip.insecure: true',
      'key',
    )
  }
  if (look(raw, 'gossip', 'seedMasters') === true && look(raw, 'masters') === undefined)
    refuse(['gossip', 'seedMasters'], 'needs the section masters')
  onlyOnce(
    withPort(items(raw, ['gossip', 'seeds'], parseTarget), PORTS.gossip).map(at => ({
      path: at.path,
      name: showEndpoint(at),
    })),
    refuse,
  )
}

/** Rule: both ends of a range have its address family, and are in order. */
const ranges = (raw: Raw, refuse: Refuse): void => {
  for (const [name, family, low, high] of [
    ['range', 4, '11.0.0.0', '11.255.255.255'],
    ['range6', 6, 'fd01:c::', 'fd01:c::ffff:ffff:ffff:ffff'],
  ] as const) {
    const ends = (
      [
        ['min', low],
        ['max', high],
      ] as const
    ).map(([end, fallback]) => {
      const read = parseAddress(look(raw, 'vips', name, end) ?? fallback)
      if ('problem' in read) return undefined
      const { address, port } = read.value
      if (familyOf(address) !== family || port !== undefined || address.includes('%')) {
        refuse(['vips', name, end], `${address} is not a plain IPv${family} address`)
        return undefined
      }
      return ipToNumber(address)
    })
    const [min, max] = ends
    if (min !== undefined && max !== undefined && min >= max)
      refuse(['vips', name], 'min must be below max', 'key')
  }
}

/** Rule: a minimum is not greater than its maximum. */
const inOrder = (
  raw: Raw,
  low: readonly string[],
  lowDefault: string,
  high: readonly string[],
  highDefault: string,
  refuse: Refuse,
): void => {
  const least = parseTime(look(raw, ...low) ?? lowDefault)
  const most = parseTime(look(raw, ...high) ?? highDefault)
  if ('value' in least && 'value' in most && least.value > most.value) {
    refuse(
      look(raw, ...low) === undefined ? high : low,
      look(raw, ...low) === undefined ? `is below ${low.join('.')}` : `is above ${high.join('.')}`,
    )
  }
}

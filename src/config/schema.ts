/**
 * Declares every key of the configuration: its type, default and description. KEYS is the same as a flat table; tests
 * compare the manual page and deploy/configuration.md with it. Rules between several keys are in rules.ts.
 *
 * This file is long, because it is a table with an entry for each key.
 */
import { stringify } from 'yaml'
import * as z from 'zod'
import { SERVERS } from '../boundary/counters.ts'
import {
  isWildcard,
  parseAddress,
  parseName,
  parseNetwork,
  parsePort,
  parseTarget,
  parseUpstream,
  parseUrl,
  UPSTREAM_FORMS,
} from './address.ts'
import {
  count,
  file,
  flag,
  listOf,
  mapOf,
  of,
  oneOf,
  parsePath,
  size,
  text,
  time,
  ttl,
  word,
  type Kind,
} from './kinds.ts'
import { bad, type Parsed } from './units.ts'

/** One key in words, as the manual prints it. */
export type KeyFacts = {
  readonly path: string
  readonly type: string
  readonly default: string
  readonly description: string
}

type Facts = Omit<KeyFacts, 'path'>
const facts = z.registry<Facts>()

/** A value on one line, in the notation of the file. */
export const flow = (value: unknown): string =>
  stringify(value, {
    collectionStyle: 'flow',
    lineWidth: 0,
    flowCollectionPadding: false,
    singleQuote: true,
  }).trimEnd()

/**
 * A key with a default. The default is written and parsed like a value in the file, so it is always valid.
 */
const key = <T>({ type, schema }: Kind<T>, fallback: unknown, description: string) =>
  schema.prefault(fallback).register(facts, { type, default: flow(fallback), description })

/** A key that must be set. */
const required = <T>({ type, schema }: Kind<T>, description: string) =>
  schema.register(facts, { type, default: 'required', description })

/** A key whose default comes from the host. */
const found = <T>({ type, schema }: Kind<T>, where: string, description: string) =>
  schema.optional().register(facts, { type, default: where, description })

/** A section. An empty section has all its defaults. */
const section = <S extends z.core.$ZodShape>(shape: S) =>
  z.preprocess(raw => (raw === null ? {} : raw), z.strictObject(shape))

const MINUTE = 60_000
const DAY = 86_400_000
const KiB = 2 ** 10
const GiB = 2 ** 30

/** Accepts '' as "none" and parses any other text. */
const orNone =
  <T>(parse: (raw: unknown) => Parsed<T>) =>
  (raw: unknown): Parsed<T | ''> =>
    raw === '' ? { value: '' } : parse(raw)

const bound = of('address', parseAddress)
const target = 'address'
const maybe = {
  address: of('address', orNone(parseAddress)),
  target: of('address', orNone(parseTarget)),
  url: of('URL', orNone(parseUrl)),
  zk: of('URL', orNone(parseZk)),
  name: of('name', orNone(parseName)),
}
/** Serf's limits for a node name; the name also fits into a metric label. */
const NODE = /^[A-Za-z0-9][A-Za-z0-9.-]{0,127}$/
const label = (raw: unknown): Parsed<string> => {
  const read = parseName(raw)
  return 'value' in read && read.value.includes('.')
    ? bad(`'${read.value}' is more than one label`)
    : read
}

export const schema = z.strictObject({
  node: found(
    text('name', NODE, 'is not a node name: letters, digits, dots and hyphens, at most 128'),
    'host name',
    'Name of this node in gossip, logs and status. Must be unique in the cluster.',
  ),
  clusterId: key(
    of('name', orNone(label)),
    '',
    "This cluster's own id: names below <id>.dcos.directory are answered as those below thisdcos.directory.",
  ),
  listen: section({
    addresses: required(
      listOf('address', parseAddress, { least: 1, most: SERVERS }),
      `Addresses to answer on, each over UDP and TCP, with or without a port; at most ${SERVERS}. One that does not exist yet is retried while the others serve.`,
    ),
    port: key(
      of('port', parsePort),
      53,
      'Port of the addresses that name none. 0 takes any free port, for tests.',
    ),
    anyAddress: key(
      flag,
      false,
      'Allow 0.0.0.0 and :: in listen.addresses. Off because a forwarder on every address is how open resolvers come about.',
    ),
  }),
  io: key(
    word(['auto', 'batch', 'apart', 'dgram']),
    'auto',
    'How datagrams are moved: batch is many per system call (Linux), apart the same but never two in one message (a capture on the loopback then shows each), dgram is plain Node, auto is batch where it works.',
  ),
  allow: found(
    listOf('network', parseNetwork, { least: 1 }),
    "loopback and the host's own networks",
    'Networks whose clients may ask; all others get REFUSED over UDP, and their TCP connections are closed.',
  ),
  masters: section({
    source: key(
      word(['static', 'file', 'url', 'exhibitor', 'dns', 'zk']),
      'static',
      'Where the list of masters comes from: masters.addresses, a watched file, a URL with a JSON array, Exhibitor, a DNS name, or ZooKeeper, which is watched.',
    ),
    addresses: key(
      listOf(target, parseTarget),
      [],
      'The masters, for source static; a port given here is that of its Mesos-DNS.',
    ),
    file: key(file(), '', 'File with a JSON array of addresses, for source file; watched.'),
    url: key(maybe.url, '', 'URL that gives a JSON array of addresses, for source url.'),
    exhibitor: key(maybe.url, '', 'Base URL of Exhibitor, for source exhibitor.'),
    name: key(maybe.name, '', 'Name with the A and AAAA records of the masters, for source dns.'),
    zk: key(
      maybe.zk,
      '',
      'Where the masters of Mesos keep themselves in ZooKeeper, zk://host:port,host:port/mesos, for source zk; zks:// is over TLS, with the files of mesos.tls.',
    ),
    zkDigest: key(
      file(),
      '',
      'File with user:password for ZooKeeper (scheme digest), for source zk; only our user may read it.',
    ),
    port: key(of('port', parsePort), 61053, 'Port of Mesos-DNS on the masters.'),
    refresh: key(time(1000, DAY), '120s', 'Time from a good list to the next look.'),
    retry: key(
      time(100, DAY),
      '5s',
      'Time from a failed look to the next; the last good list stays in use.',
    ),
  }).optional(),
  upstreams: key(
    listOf('upstream', parseUpstream),
    [],
    `Resolvers for all other names: ${UPSTREAM_FORMS}. None: such names get SERVFAIL.`,
  ),
  forwardZones: key(
    mapOf('zone: list of upstream', parseName, listOf('upstream', parseUpstream, { least: 1 })),
    {},
    'Zones with upstreams of their own, for example corp.example: [192.0.2.60, 192.0.2.61:5353]. The longest matching zone wins.',
  ),
  zones: key(
    mapOf('label: {name: target}', label, mapOf('name: target', parseName, of('name', parseName))),
    {},
    'Static CNAMEs: <label>: {<name>: <target>} makes <name>.<label>.thisdcos.directory an alias of the target.',
  ),
  cache: section({
    maxBytes: key(
      size(64 * KiB, 64 * GiB),
      '32MiB',
      'Memory for cached responses; the least recently asked leave first.',
    ),
    maxEntries: key(count(16, 10_000_000), 100_000, 'Number of cached responses.'),
    serveStale: key(
      ttl(7 * DAY),
      '1d',
      'How long after its TTL an answer may still be given when every upstream fails (RFC 8767). 0 never.',
    ),
    minTtl: key(ttl(DAY), '0s', 'External answers are kept at least this long.'),
    maxTtl: key(
      ttl(7 * DAY),
      '1d',
      'External answers are kept at most this long (RFC 8767 section 4 advises a week or less).',
    ),
    maxNegativeTtl: key(
      ttl(7 * DAY),
      '1h',
      'External negative answers are kept at most this long (RFC 2308 section 5 advises one to three hours).',
    ),
    snapshot: key(file(), '', 'File that keeps the cache over a restart; none: nothing is kept.'),
  }).prefault({}),
  race: section({
    grace: key(
      time(0, 10_000),
      '20ms',
      'How long a lone NXDOMAIN or NODATA from one master waits for the others to know better.',
    ),
    deadline: key(
      time(100, 30_000),
      '1800ms',
      'When a client has its answer at the latest, stale or SERVFAIL: before the resolver library asks again at two seconds.',
    ),
  }).prefault({}),
  limits: section({
    inFlight: key(
      count(1, 65_536),
      4096,
      'Questions waiting for upstreams; beyond it the oldest is answered at once, stale or SERVFAIL.',
    ),
    tcpConnections: key(
      count(1, 65_536),
      512,
      'Open client connections; beyond it new ones are closed at once.',
    ),
    tcpIdle: key(
      time(100, 10 * MINUTE),
      '10s',
      'A client connection that sends nothing, or half a message, is closed after this time.',
    ),
  }).prefault({}),
  gossip: section({
    bind: key(
      bound,
      '0.0.0.0:7946',
      'Address for gossip, UDP and TCP; the port is 7946 if it names none.',
    ),
    advertise: key(
      maybe.target,
      '',
      'Address that other nodes reach this one at, if it is not the bound one.',
    ),
    seeds: key(
      listOf(target, parseTarget),
      [],
      'Nodes to join through; the port is 7946 if one names none.',
    ),
    seedMasters: key(
      flag,
      false,
      'The masters that are known at the moment are seeds, too, at the port of gossip.bind; needs the section masters.',
    ),
    keyring: key(
      file(),
      '',
      'File with the encryption keys, mode 0600: a JSON array of base64 keys, the first one encrypts.',
    ),
    insecure: key(
      flag,
      false,
      'Run without a keyring: anyone who reaches the port can then change cluster names.',
    ),
    clusterName: key(
      text(
        'name',
        /^[A-Za-z0-9._-]{0,64}$/,
        'is not a cluster name: letters, digits, dots and hyphens',
      ),
      '',
      'Nodes of another cluster name are not joined. None: any.',
    ),
    stateDir: key(
      file('folder'),
      '',
      'Folder for incarnation and records over a restart; stateDir if none.',
    ),
  }).optional(),
  vips: section({
    agent: key(
      of('URL or local', raw => (raw === '' || raw === 'local' ? { value: raw } : parseUrl(raw))),
      '',
      "This host's Mesos agent, whose tasks declare VIPs, for example https://10.0.0.17:5051; local finds it on port 5051 and its scheme, which is https where mesos.tls is given. Asked with mesos.tls and mesos.auth.",
    ),
    address: key(
      of('address', orNone(parsePlainAddress)),
      '',
      "Address of this host's backends. None: the one that the Mesos agent advertises.",
    ),
    answer: key(
      word(['auto', 'vip', 'backends']),
      'auto',
      'What a VIP name resolves to: vip its virtual address, backends its healthy backends, auto the former where a balancer runs on this host (spartan balance, or that of DC/OS) and the latter where none does.',
    ),
    files: key(
      listOf('path', somePath),
      [],
      'Files, or folders of files, with VIPs for use without Mesos; watched.',
    ),
    range: section({
      min: key(bound, '11.0.0.0', 'First IPv4 address for named VIPs.'),
      max: key(
        bound,
        '11.255.255.255',
        'Last IPv4 address for named VIPs. Both must be the same on every node.',
      ),
    }).prefault({}),
    range6: section({
      min: key(bound, 'fd01:c::', 'First IPv6 address for named VIPs.'),
      max: key(bound, 'fd01:c::ffff:ffff:ffff:ffff', 'Last IPv6 address for named VIPs.'),
    }).prefault({}),
    enableIpv6: key(flag, true, 'Serve IPv6 backends and addresses.'),
    grace: key(
      time(0, DAY),
      '30s',
      'How long a VIP that lost its last backend keeps its name and address.',
    ),
  }).optional(),
  balance: section({
    engine: key(
      word(['nftables']),
      'nftables',
      'What carries the connections to VIPs, for `spartan balance`.',
    ),
    prefer: key(
      word(['none', 'local']),
      'none',
      'local sends connections to healthy backends on this agent while a VIP has any here.',
    ),
    affinity: key(
      word(['none', 'client']),
      'none',
      'client sends all connections of one client address to one backend as long as the backends stay the same.',
    ),
  }).prefault({}),
  mesos: section({
    master: key(
      of('URL or local or zk', raw =>
        raw === '' || raw === 'local' || raw === 'zk' ? { value: raw } : parseUrl(raw),
      ),
      'local',
      "Mesos master whose tasks get names below dcos.thisdcos.directory; local is the master on this host's own address, port 5050, zk the one that leads according to masters.zk, none only says how Mesos is asked.",
    ),
    leaderOnly: key(
      flag,
      true,
      'Publish only while that master leads. Of no effect with master zk.',
    ),
    ipSources: key(
      listOf('source', oneOf(['host', 'netinfo', 'mesos', 'docker']), { least: 1 }),
      ['host', 'netinfo'],
      "Where the addresses of tasks in the copy of the Mesos zone come from, as IPSources of the cluster's Mesos-DNS.",
    ),
    tls: section({
      ca: key(
        file(),
        '',
        'Certificate authorities of masters and agents, PEM. None: those that Node ships.',
      ),
      cert: key(file(), '', 'Our own certificate, PEM, for servers that ask for one.'),
      key: key(file(), '', 'The private key of mesos.tls.cert, PEM; only our user may read it.'),
      insecure: key(
        flag,
        false,
        'Accept any certificate: whoever is between can read the credentials and change the names.',
      ),
    }).prefault({}),
    auth: section({
      basic: key(
        file(),
        '',
        'File with principal:secret, or JSON with principal and secret; only our user may read it.',
      ),
      token: key(file(), '', 'File with a bearer token; only our user may read it.'),
      iam: key(
        file(),
        '',
        'File of a DC/OS service account, JSON with uid, private_key and login_endpoint; only our user may read it.',
      ),
    }).prefault({}),
  }).optional(),
  admin: section({
    listen: key(
      maybe.address,
      '127.0.0.1:62080',
      'Address of the status page, metrics and read-only API; the port is 62080 if it names none, none turns it off.',
    ),
    socket: key(
      of('socket', orNone(parseSocket)),
      '/run/spartan/admin.sock',
      'Unix socket for the same and for changes (flush, keys); none turns changes off.',
    ),
    hostNames: key(
      listOf('name', parseName, { most: 64 }),
      [],
      'Host names that browsers and scrapers may use at admin.listen, besides the names of this host and node.',
    ),
    tls: section({
      cert: key(
        file(),
        '',
        'Certificate for admin.listen, PEM, with its chain: it then speaks HTTPS only. Read again when it changes.',
      ),
      key: key(file(), '', 'The private key of admin.tls.cert, PEM; only our user may read it.'),
    }).prefault({}),
    token: key(
      file(),
      '',
      'File with the bearer token that every request to admin.listen must carry; only our user may read it.',
    ),
  }).prefault({}),
  metrics: section({
    prefix: key(
      text('text', /^([a-zA-Z_:][a-zA-Z0-9_:]*)?$/, 'cannot begin the name of a metric'),
      'spartan_',
      'What the names of metrics begin with; coredns_ lights up existing boards.',
    ),
  }).prefault({}),
  dnstap: section({
    socket: required(
      of('socket', raw => (raw === '' ? bad("'' is not a path") : parseSocket(raw))),
      'Unix socket at which a reader of dnstap listens. While there is none, queries are not shown, and it is tried again.',
    ),
    messages: key(
      word(['both', 'query', 'response']),
      'both',
      'What is sent about each answered query: a CLIENT_QUERY, a CLIENT_RESPONSE, or both.',
    ),
    sample: key(count(1, 1_000_000), 1, 'Only one query out of so many is shown, at random.'),
    identity: key(
      text('text', /^[\x20-\x7e]{0,255}$/, 'is not at most 255 printable characters of ASCII'),
      '',
      'Who we are in these messages; none: the name of this node.',
    ),
  }).optional(),
  log: section({
    level: key(
      word(['debug', 'info', 'warn', 'error']),
      'info',
      'Least severe kind of line to write.',
    ),
  }).prefault({}),
  identity: key(
    flag,
    true,
    'Answer version.bind and id.server (class CH) with our version and node name.',
  ),
  stateDir: key(
    file('folder'),
    '',
    'Folder for what is kept over a restart: the last good list of masters. None: nothing is kept.',
  ),
})

/** A path that is not empty. */
function somePath(raw: unknown): Parsed<string> {
  return raw === '' ? bad("'' is not a path") : parsePath(raw)
}

/** 'zk://host:port,host/path', or zks:// for TLS. */
function parseZk(raw: unknown): Parsed<string> {
  if (typeof raw === 'string' && raw.includes('@'))
    return bad('must not hold a user and password: status and logs show it; see masters.zkDigest')
  const server = String.raw`(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?`
  return typeof raw === 'string' &&
    new RegExp(`^zks?://${server}(,${server})*(/[^\\s,]*)?$`, 'i').test(raw)
    ? { value: raw }
    : bad('is not of the form zk://host:port,host:port/path')
}

/** An address without a port. */
function parsePlainAddress(raw: unknown): Parsed<string> {
  const read = parseAddress(raw)
  if ('problem' in read) return read
  const { address, port } = read.value
  return port === undefined && !isWildcard(address)
    ? { value: address }
    : bad(`${address} must be one address without a port`)
}

/** The kernel limits the path of a Unix socket (sun_path) to 107 bytes. */
function parseSocket(raw: unknown): Parsed<string> {
  const read = parsePath(raw)
  return 'value' in read && Buffer.byteLength(read.value) > 107
    ? bad('the path of a Unix socket has at most 107 bytes')
    : read
}

/** The schema's output: addresses may lack their port, and defaults from the host are missing. */
export type Draft = z.output<typeof schema>

/** The schema without its wrappers for defaults and optional values. */
const bare = (node: unknown): unknown => {
  if (node instanceof z.ZodOptional || node instanceof z.ZodPrefault) return bare(node.unwrap())
  return node instanceof z.ZodPipe && node.out instanceof z.ZodObject ? node.out : node
}

/** The keys of a section by name, or undefined if `node` is not a section. */
export const keysOf = (node: unknown): Readonly<Record<string, z.ZodType>> | undefined => {
  const inner = bare(node)
  return inner instanceof z.ZodObject ? (inner.shape as Record<string, z.ZodType>) : undefined
}

const rows = (node: z.ZodType, path: string): KeyFacts[] => {
  const own = facts.get(node)
  if (own) return [{ path, ...own }]
  return Object.entries(keysOf(node) ?? {}).flatMap(([name, inner]) =>
    rows(inner, path ? `${path}.${name}` : name),
  )
}

/** Every key in the order of the declaration. */
export const KEYS: readonly KeyFacts[] = Object.freeze(rows(schema, ''))

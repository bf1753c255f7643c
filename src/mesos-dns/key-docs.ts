/**
 * What each key of the configuration of `spartan mesos-dns` is for, and its default. `npm run tables` writes
 * spartan-mesos-dns(8) from it; the program itself does not load it.
 */
import { kindOf, type Key } from './config-keys.ts'

export type KeyDoc = {
  readonly key: Key
  /** What values it takes, for people. */
  readonly type: string
  /** JSON, as if it stood in the file. */
  readonly default: unknown
  /** Sentences of plain text. */
  readonly description: string
}

/** The default, and what the key does; in the order of the manual. */
const DOCS = {
  zk: [
    '',
    'ZooKeeper that knows the masters: zk://host:port,host:port/path, with user:password@ before the hosts if it asks for them. It is watched, and a new leading master is asked at once. This key or masters is needed.',
  ],
  masters: [
    [],
    'Masters as host:port. With zk, these are used until ZooKeeper has named the leading one.',
  ],
  domain: ['mesos', 'The zone that is served.'],
  listener: ['0.0.0.0', 'Address for DNS, over UDP and TCP.'],
  port: [53, 'Port for DNS. Agents of DC/OS ask port 61053.'],
  httpListener: ['0.0.0.0', 'Address of the HTTP API.'],
  httpPort: [8123, 'Port of the HTTP API.'],
  dnsOn: [true, 'Answer over DNS.'],
  httpOn: [true, 'Serve the HTTP API. dnsOn and httpOn cannot both be false.'],
  allow: [
    ['0.0.0.0/0', '::/0'],
    'Networks whose clients are answered over DNS; all others are refused. Not a key of the original.',
  ],
  refreshSeconds: [
    60,
    "Seconds between two loads of the masters' state, where they have no event stream for us. Otherwise changes are followed as they happen.",
  ],
  stateTimeoutSeconds: [300, 'Seconds that the state may take to arrive.'],
  zkDetectionTimeout: [
    30,
    'Seconds after which an error is logged because ZooKeeper names no leading master; 0 is never. The original exits then.',
  ],
  mesosHTTPSOn: [false, 'Ask the masters over HTTPS.'],
  caCertFile: [
    '',
    'Certificate authorities of the masters, PEM. Without it the public authorities that Node ships are trusted; the original verifies nothing then.',
  ],
  mesosHTTPSInsecure: [
    false,
    'Accept any certificate of the masters, as the original does without caCertFile. Not a key of the original.',
  ],
  certFile: ['', 'Our own certificate, PEM, for masters that ask for one. Needs keyFile.'],
  keyFile: ['', 'The private key of certFile, PEM.'],
  mesosAuthentication: [
    '',
    'How we authenticate to the masters: "" not at all, "basic" with mesosCredentials, "iam" with iamConfigFile.',
  ],
  mesosCredentials: [{}, 'The fields principal and secret, for mesosAuthentication "basic".'],
  iamConfigFile: [
    '',
    'File of a DC/OS service account, JSON with uid, private_key and login_endpoint, for mesosAuthentication "iam".',
  ],
  ttl: [60, 'TTL of the records, in seconds.'],
  IPSources: [
    ['netinfo', 'mesos', 'host'],
    "Where a task's address comes from, the first that has one: host (its agent), netinfo (its network), mesos and docker (labels of its status).",
  ],
  enforceRFC952: [false, 'Make labels of task names as RFC 952 has host names, at most 24 octets.'],
  SRVRecordDefaultWeight: [1, 'Weight of SRV records.'],
  SOAMname: ['ns1.mesos', 'MNAME of the SOA. The default is ns1 below domain.'],
  SOARname: [
    'root.ns1.mesos',
    'RNAME of the SOA; @ is read as a dot. The default is root.ns1 below domain.',
  ],
  SOARefresh: [60, 'REFRESH of the SOA, in seconds.'],
  SOARetry: [600, 'RETRY of the SOA, in seconds.'],
  SOAExpire: [86_400, 'EXPIRE of the SOA, in seconds.'],
  SOAMinttl: [
    60,
    'MINIMUM of the SOA, in seconds: how long a negative answer is kept, at most for ttl. With compat, ttl is used instead.',
  ],
  externalOn: [
    true,
    'Answer names outside domain by asking resolvers; otherwise they are refused.',
  ],
  resolvers: [
    ['8.8.8.8'],
    'Servers for names outside domain, as address or address:port. An empty list means the nameservers in /etc/resolv.conf that are not this host.',
  ],
  zoneResolvers: [{}, 'Servers for the names of single zones: an object of zone and list.'],
  timeout: [
    5,
    'Seconds to wait for such a server; 0 counts as the default. No answer takes longer than 1.8 s.',
  ],
  enumerationOn: [true, 'Serve the whole zone at /v1/enumerate and /v1/axfr.'],
  compat: [
    '',
    '"mesos-dns" answers octet for octet as the original does; see below. Not a key of the original.',
  ],
  recurseOn: [true, 'Set RA in answers. Of effect only with compat.'],
  setTruncateBit: [true, 'Set TC in answers that are cut. Of effect only with compat.'],
} as const satisfies Readonly<Record<Key, readonly [byDefault: unknown, description: string]>>

const typeOf = (key: Key): string => {
  const kind = kindOf(key)
  switch (kind) {
    case 'text':
      return 'text'
    case 'flag':
      return 'true or false'
    case 'list':
      return 'list of texts'
    case 'lists':
      return 'object of lists of texts'
    case 'object':
      return 'object'
    default:
      return `number, ${kind[0]} to ${kind[1]}`
  }
}

/** Every key that has a meaning. */
export const KEY_DOCS: readonly KeyDoc[] = (Object.keys(DOCS) as Key[]).map(key => {
  const [byDefault, description] = DOCS[key]
  return { key, type: typeOf(key), default: byDefault, description }
})

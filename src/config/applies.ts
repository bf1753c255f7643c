/**
 * For every key of the configuration: which part of the daemon uses it, and whether a reload applies it at
 * once. This table is separate from config/schema.ts, because that file loads the large schema library.
 * test/docs.ts checks that both list the same keys.
 */

/** Parts of the daemon that use keys of the configuration. */
export type Owner =
  | 'daemon'
  | 'data thread'
  | 'routes'
  | 'zones'
  | 'masters'
  | 'mesos'
  | 'vips'
  | 'gossip'
  | 'admin'
  | 'cache snapshot'
  | 'dnstap'
  | 'balance'

export type Applies = 'at once' | 'restart'

export type Use = {
  /** Who uses it. */
  readonly owners: readonly Owner[]
  readonly applies: Applies
}

const rows = (
  owners: Owner | readonly Owner[],
  applies: Applies,
  ...keys: readonly string[]
): [string, Use][] => keys.map(key => [key, { owners: [owners].flat(), applies }])

const ASK_MESOS: readonly Owner[] = ['masters', 'mesos', 'vips']

/** Keyed by the path of the key in the file. */
export const APPLIES: ReadonlyMap<string, Use> = new Map([
  ...rows('daemon', 'restart', 'node', 'metrics.prefix'),
  ...rows('daemon', 'at once', 'log.level'),
  // Sockets are bound once: systemd may own them, and a rebind would leave a moment without a socket.
  ...rows('data thread', 'restart', 'listen.addresses', 'listen.port', 'listen.anyAddress', 'io'),
  // The memory of the cache is allocated at the start.
  ...rows('data thread', 'restart', 'cache.maxBytes', 'cache.maxEntries'),
  ...rows('data thread', 'at once', 'cache.serveStale', 'cache.minTtl', 'cache.maxTtl'),
  ...rows('data thread', 'at once', 'cache.maxNegativeTtl', 'race.grace', 'race.deadline'),
  ...rows('data thread', 'at once', 'limits.inFlight', 'limits.tcpConnections'),
  ...rows('data thread', 'at once', 'limits.tcpIdle', 'identity'),
  ...rows('routes', 'at once', 'clusterId', 'allow', 'upstreams', 'forwardZones'),
  ...rows('zones', 'at once', 'zones'),
  ...rows('masters', 'at once', 'masters.source', 'masters.addresses', 'masters.file'),
  ...rows('masters', 'at once', 'masters.url', 'masters.exhibitor', 'masters.name'),
  ...rows('masters', 'at once', 'masters.port', 'masters.refresh', 'masters.retry', 'stateDir'),
  ...rows('masters', 'at once', 'masters.zk', 'masters.zkDigest'),
  ...rows('mesos', 'at once', 'mesos.master', 'mesos.leaderOnly', 'mesos.ipSources'),
  // Lists of masters, masters and agents are asked with the same certificates and credentials.
  ...rows(ASK_MESOS, 'at once', 'mesos.tls.ca', 'mesos.tls.cert', 'mesos.tls.key'),
  ...rows(ASK_MESOS, 'at once', 'mesos.tls.insecure', 'mesos.auth.basic', 'mesos.auth.token'),
  ...rows(ASK_MESOS, 'at once', 'mesos.auth.iam'),
  ...rows('vips', 'at once', 'vips.agent', 'vips.answer', 'vips.files', 'vips.range.min'),
  ...rows('vips', 'at once', 'vips.range.max', 'vips.range6.min', 'vips.range6.max'),
  ...rows('vips', 'at once', 'vips.enableIpv6', 'vips.grace', 'vips.address'),
  // Used by another process, `spartan balance`, which reads them when it starts.
  ...rows('balance', 'restart', 'balance.engine', 'balance.prefer', 'balance.affinity'),
  // Other members know this member by its name, address and records, so these must not change.
  ...rows('gossip', 'restart', 'gossip.bind', 'gossip.advertise', 'gossip.insecure'),
  ...rows('gossip', 'restart', 'gossip.clusterName', 'gossip.stateDir'),
  ...rows('gossip', 'at once', 'gossip.seeds', 'gossip.seedMasters', 'gossip.keyring'),
  ...rows('cache snapshot', 'at once', 'cache.snapshot'),
  ...rows('dnstap', 'at once', 'dnstap.socket', 'dnstap.messages', 'dnstap.sample'),
  ...rows('dnstap', 'at once', 'dnstap.identity'),
  ...rows('admin', 'restart', 'admin.listen', 'admin.socket', 'admin.hostNames'),
  ...rows('admin', 'restart', 'admin.tls.cert', 'admin.tls.key', 'admin.token'),
])

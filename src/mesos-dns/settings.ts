/** The settings of `spartan mesos-dns`: Mesos-DNS's keys with types for this program. config.ts reads them. */
import { hostPort } from '../base/ip.ts'
import type { Endpoint, Milliseconds, Seconds, ZoneApex } from '../boundary/messages.ts'
import type { IpSource } from '../mesos/mesos-dns-names/record.ts'

/** All settings, defaults filled in. */
export type Settings = {
  /** 'zk://host:port,…/path'; '' for none. */
  readonly zk: string
  /** 'host:port' each, in order. */
  readonly masters: readonly string[]
  /** Interval of loads if the masters cannot be subscribed to. */
  readonly refreshMs: Milliseconds
  readonly ttl: Seconds
  /** Lower case, no final dot. */
  readonly domain: string
  readonly listen: Endpoint
  readonly httpListen: Endpoint
  readonly dnsOn: boolean
  readonly httpOn: boolean
  /** Resolvers for names outside the domain; without any, such names are refused. */
  readonly resolvers: readonly Endpoint[]
  /** Zone, lower case without final dot, to its resolvers. */
  readonly zoneResolvers: Readonly<Record<string, readonly Endpoint[]>>
  readonly externalOn: boolean
  /** Time limit for an external resolver's answer. */
  readonly timeoutMs: Milliseconds
  readonly stateTimeoutMs: Milliseconds
  /** How long ZooKeeper may take to name a leader; 0 without limit. */
  readonly zkDetectionMs: Milliseconds
  readonly recurseOn: boolean
  readonly enumerationOn: boolean
  readonly setTruncateBit: boolean
  readonly ipSources: readonly IpSource[]
  readonly enforceRfc952: boolean
  readonly srvWeight: number
  readonly soa: ZoneApex
  readonly mesosHttps: boolean
  /** Accepts any certificate of the masters, as Mesos-DNS does without a CA file. */
  readonly mesosHttpsInsecure: boolean
  /** Paths; '' for none. */
  readonly caCertFile: string
  readonly certFile: string
  readonly keyFile: string
  readonly iamConfigFile: string
  readonly authentication: '' | 'basic' | 'iam'
  readonly principal: string
  readonly secret: string
  /** True answers exactly like Mesos-DNS. */
  readonly compat: boolean
  /** Networks whose clients are answered, as CIDR. */
  readonly allow: readonly string[]
  /** The file that it was read from. */
  readonly file: string
}

/** The settings with Mesos-DNS's keys, for the HTTP API; without secrets. */
export const shownSettings = (of: Settings, serial: number): Readonly<Record<string, unknown>> => {
  const endpoint = ({ address, port }: Endpoint): string => hostPort(address, port)
  const seconds = (ms: Milliseconds): number => Math.round(ms / 1_000)
  return {
    RefreshSeconds: seconds(of.refreshMs),
    Port: of.listen.port,
    Timeout: seconds(of.timeoutMs),
    StateTimeoutSeconds: seconds(of.stateTimeoutMs),
    ZkDetectionTimeout: seconds(of.zkDetectionMs),
    HttpPort: of.httpListen.port,
    TTL: of.ttl,
    SRVRecordDefaultWeight: of.srvWeight,
    SOASerial: serial,
    SOARefresh: of.soa.refresh,
    SOARetry: of.soa.retry,
    SOAExpire: of.soa.expire,
    SOAMinttl: of.soa.minimum,
    SOAMname: `${of.soa.mname}.`,
    SOARname: `${of.soa.rname}.`,
    Masters: of.masters,
    ZoneResolvers: Object.fromEntries(
      Object.entries(of.zoneResolvers).map(([zone, list]) => [zone, list.map(endpoint)]),
    ),
    Resolvers: of.resolvers.map(endpoint),
    IPSources: of.ipSources,
    // may contain 'zk://user:password@host'
    Zk: of.zk.replace(/\/\/[^/]*@/, '//'),
    Domain: of.domain,
    File: of.file,
    Listener: of.listen.address,
    HTTPListener: of.httpListen.address,
    RecurseOn: of.recurseOn,
    DnsOn: of.dnsOn,
    HttpOn: of.httpOn,
    ExternalOn: of.externalOn,
    EnforceRFC952: of.enforceRfc952,
    SetTruncateBit: of.setTruncateBit,
    EnumerationOn: of.enumerationOn,
    MesosHTTPSOn: of.mesosHttps,
    CACertFile: of.caCertFile,
    CertFile: of.certFile,
    KeyFile: of.keyFile,
    MesosCredentials: { Principal: '', Secret: '' },
    IAMConfigFile: of.iamConfigFile,
    MesosAuthentication: of.authentication,
  }
}
